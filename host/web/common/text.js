// Numbers and names as both pages show them.

/** Return a number with its digits in groups of three.
 * @param {number} number
 * @returns {string} */
export function grouped(number) {
  return number.toLocaleString("en");
}

/** Return a number with what it counts: "1 step", "1,000 steps".
 * @param {number} number
 * @param {string} what
 * @returns {string} */
export function counted(number, what) {
  return `${grouped(number)} ${what}${number === 1 ? "" : "s"}`;
}

/** Return a name of any text as an element: its direction and blanks are its own.
 * @param {string} name
 * @returns {HTMLElement} */
export function nameElement(name) {
  const element = document.createElement("bdi");
  element.textContent = name;
  return element;
}
