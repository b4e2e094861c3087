// Numbers and names as both pages show them.

/** Return a number with its digits in groups of three.
 * @param {number} number
 * @returns {string} */
export function grouped(number) {
  return number.toLocaleString("en");
}

/** Return a name of any text as an element: its direction and blanks are its own.
 * @param {string} name
 * @returns {HTMLElement} */
export function nameElement(name) {
  const element = document.createElement("bdi");
  element.textContent = name;
  return element;
}
