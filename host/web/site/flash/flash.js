// The part "flash" of the page.

/** @param {...any} parts
 * @returns {any} */
export function startFlash(...parts) {
  return parts;
}
