// Elements of a page, which must be there.

/** Return the element with this id.
 * @param {string} id
 * @returns {HTMLElement} */
export function byId(id) {
  const element = document.getElementById(id);
  if (!element) throw new Error(`no element has the id ${id}`);
  return element;
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
