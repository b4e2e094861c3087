// Elements of a page, which must be there; new ones; and what both pages do with them.

/** Return the element with this id, of the class `kind`.
 * @template {new () => Element} [K=typeof HTMLElement]
 * @param {string} id
 * @param {K} [kind] such as HTMLInputElement
 * @returns {InstanceType<K>} */
export function byId(id, kind) {
  const element = document.getElementById(id);
  const right = kind ?? HTMLElement;
  if (!(element instanceof right)) throw new Error(`no ${right.name} has the id ${id}`);
  return /** @type {InstanceType<K>} */ (element);
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

/** Give a file to the person.
 * @param {string} name
 * @param {Blob} blob */
export function download(name, blob) {
  const link = make("a", { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

/** Return a function that has `draw` called with the next picture of the screen, once for many calls.
 * @param {() => void} draw */
export function perFrame(draw) {
  let due = false;
  return () => {
    if (due) return;
    due = true;
    requestAnimationFrame(() => {
      due = false;
      draw();
    });
  };
}

/** Return the first element in `root` for a selector, of the class `kind`.
 * @template {typeof Element} K
 * @param {ParentNode} root
 * @param {string} selector
 * @param {K} kind such as HTMLInputElement
 * @returns {InstanceType<K>} */
export function find(root, selector, kind) {
  const element = root.querySelector(selector);
  if (!(element instanceof kind)) throw new Error(`no ${kind.name} is at ${selector}`);
  return /** @type {InstanceType<K>} */ (element);
}

/** Return the field of a form with this name.
 * @param {HTMLElement} form
 * @param {string} name
 * @returns {HTMLInputElement} */
export function field(form, name) {
  return find(form, `[name="${name}"]`, HTMLInputElement);
}

/** Return what an error says.
 * @param {unknown} error
 * @returns {string} */
export function messageOf(error) {
  return error instanceof Error ? error.message : String(error);
}
