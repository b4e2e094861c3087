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
  navigator.serviceWorker.addEventListener("controllerchange", () => {
    if (asked) location.reload();
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
  const registration = await navigator.serviceWorker.getRegistration();
  asked = true;
  registration?.waiting?.postMessage("activate");
}
