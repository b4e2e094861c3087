// Start the page: the tabs, and what is in each of them.

import { startTry } from "./try/try.js";
import { startInside } from "./inside/inside.js";
import { startFlash } from "./flash/flash.js";
import { startWatch } from "./watch/watch.js";

/** @type {Record<string, any>} */
const site = await (await fetch("site.json")).json();
const session = startTry(site);
startInside(session);
const watch = startWatch(site);
startFlash(site, session, watch);
