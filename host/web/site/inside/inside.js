// The part "inside" of the page.

/** @param {...any} parts
 * @returns {any} */
export function startInside(...parts) {
  return parts;
}
