// Elements of the tab Try by their id.

import { byId } from "../../common/elements.js";

/** Return the element with this id, of whichever class the page has it.
 * @type {(id: string) => any} */
export const the = byId;
