// The service worker: keeps the files of one build, so that the page works without a network.
//
// A build has a cache of its own, by its version, and a tab gets all files of one version. A newer build waits
// until no tab has the old one, or until a page asks for it (see update.js).

/* global VERSION, FILES -- filled in by build.mjs */

const worker = /** @type {ServiceWorkerGlobalScope} */ (/** @type {unknown} */ (self));
const PREFIX = "microgpt-";
const CACHE = `${PREFIX}${new URL(worker.registration.scope).pathname} ${VERSION}`;

worker.addEventListener("install", (event) => {
  event.waitUntil(keep());
});

worker.addEventListener("activate", (event) => {
  event.waitUntil(removeOld().then(() => worker.clients.claim()));
});

worker.addEventListener("message", (event) => {
  if (event.data === "activate") worker.skipWaiting();
});

worker.addEventListener("fetch", (event) => {
  const { request } = event;
  if (request.method === "GET") event.respondWith(answer(request));
});

/** Fetch every file anew: what the browser has kept of an older build is asked for again. */
async function keep() {
  const cache = await caches.open(CACHE);
  await cache.addAll(FILES.map((path) => new Request(path, { cache: "no-cache" })));
}

/** Remove the caches of older builds at the same address. */
async function removeOld() {
  const own = CACHE.slice(0, CACHE.lastIndexOf(" ") + 1);
  for (const name of await caches.keys()) {
    if (name.startsWith(own) && name !== CACHE) await caches.delete(name);
  }
}

/** Return a file that is kept, or else what the network has.
 * @param {Request} request */
async function answer(request) {
  const url = new URL(request.url);
  url.search = url.hash = "";
  if (request.mode === "navigate" && url.href === `${worker.registration.scope}index.html`) {
    url.href = worker.registration.scope;
  }
  const cache = await caches.open(CACHE);
  return (await cache.match(url.href)) ?? fetch(request);
}
