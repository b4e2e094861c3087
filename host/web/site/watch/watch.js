// The part "watch" of the page.

/** @param {...any} parts
 * @returns {any} */
export function startWatch(...parts) {
  return parts;
}
