// Offline use and newer builds: registers the service worker, and goes over to a newer build of the page.
//
// A page that nobody has used yet is replaced by itself; else a line offers it.

const notice = document.getElementById("newer");
let used = false;
let asked = false;

/** Keep the page for offline use, and look for a newer build. */
export async function startUpdates() {
  if (!("serviceWorker" in navigator)) return;
  for (const kind of ["pointerdown", "keydown"]) {
    addEventListener(kind, () => (used = true), { once: true, capture: true });
  }
  document.getElementById("newer-load")?.addEventListener("click", () => activate());
  let replaced = navigator.serviceWorker.controller !== null; // by the next one, not by the first
  navigator.serviceWorker.addEventListener("controllerchange", () => {
    if (asked) location.reload();
    else if (replaced) offer(); // another tab has gone over to it
    replaced = true;
  });
  try {
    const registration = await navigator.serviceWorker.register("sw.js");
    look(registration);
    registration.addEventListener("updatefound", () => look(registration));
  } catch {
    // the page works without it, but not offline
  }
}

/** Watch the newer build that is being fetched, or waits.
 * @param {ServiceWorkerRegistration} registration */
function look(registration) {
  const newer = registration.installing ?? registration.waiting;
  if (!newer || !navigator.serviceWorker.controller) return;
  const ready = () => {
    if (newer.state !== "installed") return;
    if (used) offer();
    else activate();
  };
  newer.addEventListener("statechange", ready);
  ready();
}

function offer() {
  if (notice) notice.hidden = false;
}

/** Let the newer build take over; the page is loaded again when it has. */
async function activate() {
  const newer = (await navigator.serviceWorker.getRegistration())?.waiting;
  asked = true;
  if (newer) newer.postMessage("activate");
  else location.reload();
}
