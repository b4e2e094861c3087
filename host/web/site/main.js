// Start the page: the tabs at once, and what is in each of them when site.json is there.

import { startFlash } from "./flash/flash.js";
import { startInside } from "./inside/inside.js";
import { startTabs } from "./tabs.js";
import { startTry } from "./try/try.js";
import { startUpdates } from "./update.js";
import { startWatch } from "./watch/watch.js";

/** Return the facts that the build wrote: settings, formats, boards, lists of documents.
 * @returns {Promise<any>} */
async function readFacts() {
  const response = await fetch("site.json");
  if (!response.ok) throw new Error(`site.json is not there (${response.status})`);
  return response.json().catch(() => {
    throw new Error("site.json is damaged");
  });
}

document.getElementById("waiting")?.remove();
startTabs();
try {
  const site = await readFacts();
  const version = document.getElementById("version");
  if (version) version.textContent = `microgpt ${site.version}, MicroPython ${site.micropython}`;
  const session = startTry(site);
  startInside(session, site);
  const watch = startWatch(site);
  startFlash(site, session, watch);
} catch (error) {
  const problem = document.getElementById("problem");
  const reason = error instanceof Error ? error.message : String(error);
  if (problem) problem.textContent = `The page cannot start: ${reason}. Load it again.`;
  console.error(error);
}
startUpdates();
