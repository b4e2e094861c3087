// Elements of the page by their id, and new ones.

/** Return the element with this id, which the page has.
 * @param {string} id
 * @returns {any} */
export function the(id) {
  const element = document.getElementById(id);
  if (!element) throw new Error(`the page has no element ${id}`);
  return element;
}

/** Return a new element with these properties and content.
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} tag
 * @param {Partial<HTMLElementTagNameMap[K]>} [properties]
 * @param {...(Node|string)} content
 * @returns {HTMLElementTagNameMap[K]} */
export function make(tag, properties = {}, ...content) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...content);
  return element;
}

/** Return a button that does something.
 * @param {string} text
 * @param {() => void} act
 * @param {string} [look] its classes */
export function button(text, act, look = "second small") {
  const element = make("button", { type: "button", className: look }, text);
  element.addEventListener("click", act);
  return element;
}

/** Return what an error says.
 * @param {unknown} error */
export function saidBy(error) {
  return error instanceof Error ? error.message : String(error);
}

/** Give a text to the person as a file.
 * @param {string} name
 * @param {Blob} blob */
export function download(name, blob) {
  const link = make("a", { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}
