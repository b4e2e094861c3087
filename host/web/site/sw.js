// The service worker: keeps the files of one build, so that the page works without a network.
//
// A build has a cache of its own, by its version, and a tab gets all its files from one. A newer build waits
// until no tab has the old one, or until a page asks for it (update.js). VERSION and FILES: build.mjs.

const worker = /** @type {ServiceWorkerGlobalScope} */ (/** @type {unknown} */ (self));
const PREFIX = "microgpt-";
const KEPT = new Set(Object.keys(FILES).map((path) => new URL(path, worker.registration.scope).href));
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
  const address = kept(event.request);
  if (address) event.respondWith(answer(event.request, address));
});

/** Fetch every file anew: what the browser has kept of an older build is asked for again.
 *
 * Nothing is kept if one is not of this build, as while a site is being copied: the next visit tries again. */
async function keep() {
  const cache = await caches.open(CACHE);
  const files = Object.entries(FILES);
  await cache.addAll(files.map(([path, integrity]) => new Request(path, { cache: "no-cache", integrity })));
}

/** Remove the caches of older builds at the same address. */
async function removeOld() {
  const own = CACHE.slice(0, CACHE.lastIndexOf(" ") + 1);
  for (const name of await caches.keys()) {
    if (name.startsWith(own) && name !== CACHE) await caches.delete(name);
  }
}

/** Return under which address the answer to a request is kept, "" if it is not: an image for a board.
 * @param {Request} request */
function kept({ method, url }) {
  const { origin, pathname } = new URL(url);
  const address = origin + pathname.replace(/\/index\.html$/, "/");
  return method === "GET" && KEPT.has(address) ? address : "";
}

/** Return what is kept, or what the network has if the browser has thrown it away.
 * @param {Request} request
 * @param {string} address */
async function answer(request, address) {
  const cache = await caches.open(CACHE);
  return (await cache.match(address)) ?? fetch(request);
}
