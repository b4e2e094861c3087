// The part "try" of the page.

/** @param {...any} parts
 * @returns {any} */
export function startTry(...parts) {
  return parts;
}
