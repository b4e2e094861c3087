// The documents: a list of the site or the person's own text, and what became of its lines.

import { button, make, messageOf } from "../../common/elements.js";
import { counted, grouped } from "../../common/text.js";
import { decode } from "../data/names_bin.js";
import { Packing } from "../data/packing.js";
import { the } from "./elements.js";

/** @typedef {import("../model/values.js").Site} Site
 * @typedef {import("../data/names_bin.js").How} How
 * @typedef {import("../data/packing.js").Made} Made
 * @typedef {import("../model/link.js").Source} Source
 * @typedef {{made: Made, source: Source, text: string, how: How}} Documents */

const OWN = "own";
const PASTED = "the text"; // what messages call a text that is no file
const WAIT = 200; // ms after the last key
const EDITED = 300_000; // characters that a field of text takes without being slow
const SHOWN = 20_000; // characters of a longer text
const FEW = 300; // documents that are learned by heart
const KEPT = "own-text"; // in the tab's storage, so that loading the page again loses nothing

/** Events: "changed" when there are documents or none any more, "offer" with settings to try. */
export class DocumentsForm extends EventTarget {
  /** @param {Site} site */
  constructor(site) {
    super();
    this.site = site;
    this.packing = new Packing(site.names_format);
    this.list = site.presets[0].name;
    this.own = { text: "", name: "" };
    this.blockSize = site.names_format.block_size;
    this.charset = ""; // of a loaded model, which documents must fit
    /** @type {Map<string, Promise<string>>} */
    this.texts = new Map();
    this.turn = 0;
    this.timer = 0;
    /** @type {Promise<Documents|null>} */
    this.ready = Promise.resolve(null);
    this.refusal = "";
    this.restore();
    this.showLists();
    this.listen();
  }

  restore() {
    try {
      this.own = { ...this.own, ...JSON.parse(sessionStorage.getItem(KEPT) ?? "{}") };
    } catch {
      // without storage, or with another content, there is no text
    }
  }

  keep() {
    try {
      sessionStorage.setItem(KEPT, JSON.stringify(this.own));
    } catch {
      // no storage, or the text is too long for it: it lasts until the page is closed
    }
  }

  showLists() {
    const { presets } = this.site;
    const about = "Any list, a line a document, in any characters.";
    const own = { name: OWN, title: "Your own text", about, documents: 0 };
    for (const { name, title, about, documents } of [...presets, own]) {
      const input = make("input", { type: "radio", name: "list", value: name, id: `list-${name}` });
      input.addEventListener("change", () => this.choose(name));
      const facts = documents ? `${grouped(documents)}. ${about}` : about;
      const said = make("span", { className: "quiet" }, facts);
      the("data-lists").append(make("label", { className: "pick" }, input, make("b", {}, title), said));
    }
  }

  listen() {
    const text = the("data-text");
    text.addEventListener("input", () => this.edited(text.value));
    the("data-choose").addEventListener("click", () => the("data-file").click());
    the("data-file").addEventListener("change", () => {
      const [file] = the("data-file").files;
      if (file) this.open([file]);
      the("data-file").value = ""; // so that the same file can be chosen again
    });
    the("data-clear").addEventListener("click", () => {
      this.edited("");
      this.showOwn();
      text.focus();
    });
    for (const name of ["cut", "fold"]) the(`how-${name}`).addEventListener("change", () => this.again(0));
    the("how-max_characters").addEventListener("input", () => this.again());
    this.listenToDrops();
  }

  /** Take a file that is dropped anywhere in the tab, unless a part of the page has taken it already. */
  listenToDrops() {
    const panel = the("try");
    const holds = (/** @type {DragEvent} */ event) => event.dataTransfer?.types.includes("Files");
    panel.addEventListener("dragover", (/** @type {DragEvent} */ event) => {
      if (event.defaultPrevented || !holds(event)) return;
      event.preventDefault();
      the("data").classList.add("dropping");
    });
    for (const end of ["dragleave", "drop"]) {
      panel.addEventListener(end, () => the("data").classList.remove("dropping"));
    }
    panel.addEventListener("drop", (/** @type {DragEvent} */ event) => {
      if (event.defaultPrevented || !event.dataTransfer || !holds(event)) return;
      event.preventDefault();
      this.open([...event.dataTransfer.files]);
    });
  }

  /** Take the text of a file; if it is none, say so and keep what is there.
   * @param {File[]} files */
  async open(files) {
    try {
      if (files.length !== 1) throw new Error(`${files.length} files were given: give one text`);
      const [file] = files;
      const { max_text: most } = this.site.names_format;
      const bytes = new Uint8Array(await file.slice(0, most + 1).arrayBuffer());
      const text = decode(bytes, file.name, this.site.names_format);
      if (!text) throw new Error(`${file.name} is empty: choose another file`);
      this.charset = "";
      this.own = { text, name: file.name };
      this.keep();
      this.choose(OWN);
    } catch (error) {
      the("data-error").textContent = messageOf(error); // what there was is still there
    }
  }

  /** @param {string} text */
  edited(text) {
    this.charset = "";
    this.own = { text, name: text ? this.own.name : "" };
    this.keep();
    if (text.length > EDITED) this.showOwn();
    this.again();
  }

  /** @param {string} list */
  choose(list) {
    this.charset = "";
    this.list = list;
    this.show();
    this.again(0);
  }

  /** Show what is chosen. */
  show() {
    the(`list-${this.list}`).checked = true;
    the("data-own").hidden = this.list !== OWN;
    this.showOwn();
  }

  /** Show the own text, or the beginning of a long one, which cannot be edited here. */
  showOwn() {
    const { text, name } = this.own;
    const long = text.length > EDITED;
    const field = the("data-text");
    field.value = long ? `${text.slice(0, SHOWN)}…` : text;
    field.readOnly = long;
    the("data-shortened").hidden = !long;
    the("data-shortened").textContent =
      `${name || "The text"} has ${grouped(text.length)} characters. All are used; the first ` +
      `${grouped(SHOWN)} are shown.`;
  }

  /** Return how the lines become documents; throw an Error if a field has no such value.
   * @returns {How} */
  how() {
    const field = the("how-max_characters");
    const { max_characters: highest } = this.site.names_format;
    const given = field.value.trim();
    const right = /^\d{1,3}$/.test(given) && Number(given) >= 1 && Number(given) <= highest;
    const wrong = given !== "" && !right;
    field.setAttribute("aria-invalid", String(wrong));
    if (wrong) throw new Error(`Most characters must be a whole number from 1 to ${highest}, or empty`);
    const [fold, cut] = ["fold", "cut"].map((name) => the(`how-${name}`).checked);
    return { fold, cut, max_characters: Number(given) || null };
  }

  /** @param {How} how */
  setHow({ fold, cut, max_characters: most }) {
    if (fold !== undefined) the("how-fold").checked = fold;
    if (cut !== undefined) the("how-cut").checked = cut;
    if (most !== undefined) the("how-max_characters").value = most ?? "";
    if (fold || cut || most) the("data-ways").open = true;
  }

  /** Pack the documents for a model of so many positions.
   * @param {number} blockSize */
  setBlockSize(blockSize) {
    if (blockSize === this.blockSize) return;
    this.blockSize = blockSize;
    this.again();
  }

  /** Pack the documents again, a moment after the last change.
   * @param {number} [wait] milliseconds */
  again(wait = WAIT) {
    clearTimeout(this.timer);
    const turn = ++this.turn;
    this.ready = new Promise((resolve) => {
      this.timer = window.setTimeout(resolve, wait);
    }).then(() => (turn === this.turn ? this.pack(turn) : null));
  }

  /** Return the documents as they are now; throw an Error that says why there are none.
   * @returns {Promise<Documents>} */
  async current() {
    for (;;) {
      const { turn } = this;
      const documents = await this.ready;
      if (turn !== this.turn) continue; // changed meanwhile
      if (!documents) throw new Error(this.refusal);
      return documents;
    }
  }

  /** @param {number} turn
   * @returns {Promise<Documents|null>} */
  async pack(turn) {
    const { list, blockSize, charset } = this;
    const title = list === OWN ? this.own.name || PASTED : this.preset().file.replace(/^.*\//, "");
    let documents = null;
    try {
      const how = this.how();
      if (list === OWN && !this.own.text) throw new Error("paste a text, or choose a file");
      const text = list === OWN ? this.own.text : await this.textOf(list);
      const made = await this.packing.pack(text, { ...how, block_size: blockSize, charset }, title);
      if (turn !== this.turn) return null;
      if ("refusal" in made) {
        this.say(made.refusal, made.set);
      } else {
        const kind = list === OWN ? "own" : "preset";
        const name = kind === "own" ? this.own.name : list;
        const source = /** @type {Source} */ ({ kind, name, sha256: made.sha256 });
        documents = { made, how: charset ? { ...how, charset } : how, text, source };
        this.refusal = "";
        this.describe(made);
      }
    } catch (error) {
      if (turn !== this.turn) return null;
      this.say(messageOf(error));
    }
    this.dispatchEvent(new CustomEvent("changed", { detail: documents }));
    return documents;
  }

  preset() {
    return this.site.presets.find(({ name }) => name === this.list) ?? this.site.presets[0];
  }

  /** Return the text of a list of the site, fetched once.
   * @param {string} list
   * @returns {Promise<string>} */
  textOf(list) {
    const { file } = this.preset();
    const fetched = this.texts.get(list) ?? fetchText(file);
    this.texts.set(list, fetched);
    fetched.catch(() => this.texts.delete(list)); // the next try asks again
    return fetched;
  }

  /** Say why there are no documents, and offer settings that would do.
   * @param {string} refusal
   * @param {How} [set] */
  say(refusal, set = {}) {
    this.refusal = refusal;
    const empty = this.list === OWN && !this.own.text; // no error: nothing was given yet
    the("data-error").textContent = empty ? "" : refusal;
    const hint = make("p", { className: "quiet" }, "Paste a text, or choose a file.");
    the("data-made").replaceChildren(...(empty ? [hint] : []));
    this.offer(set);
  }

  /** Show buttons for settings that keep more documents.
   * @param {How} set */
  offer(set) {
    const { block_size, cut, max_characters } = set;
    /** @type {[string, How][]} */
    const offers = [];
    if (block_size) offers.push([`Keep all: ${block_size} positions`, { block_size }]);
    if (block_size || cut) offers.push(["Cut long lines", { cut: true }]);
    if (max_characters) offers.push([`Keep the ${max_characters} most frequent`, { max_characters }]);
    the("data-offers").replaceChildren(...offers.map(([text, how]) => button(text, () => this.take(how))));
    the("data-offers").hidden = !offers.length;
  }

  /** @param {How} how */
  take(how) {
    this.setHow(how);
    if (how.block_size) this.dispatchEvent(new CustomEvent("offer", { detail: how }));
    else the(how.cut ? "how-cut" : "how-max_characters").focus(); // the button goes away
    this.again(0);
  }

  /** Say what became of the lines.
   * @param {Made} made */
  describe(made) {
    const { documents, charset, data, dropped, cut, lost, longest, needed } = made;
    const { max_record_size: largest } = this.site.names_format;
    the("data-error").textContent = "";
    const facts = [counted(documents, "document"), counted([...charset].length, "character")];
    const lines = [`${facts.join(", ")}, ${grouped(data.length)} bytes.`];
    if (cut) lines.push(`${grouped(cut)} cut to ${longest} characters.`);
    if (lost) lines.push(`${grouped(lost)} lost letters that are not a to z.`);
    if (documents < FEW) {
      lines.push("A list this short is learned by heart: what the model makes up is then in it.");
    }
    if (this.charset) lines.push("Only the characters of the loaded model are used.");
    const total = Object.values(dropped).reduce((sum, count) => sum + count, 0);
    lines.push(total ? `${counted(total, "line")} dropped:` : "No line was dropped.");
    the("data-made").replaceChildren(make("p", {}, lines.join(" ")), ...(total ? [droppedList(made)] : []));
    this.offer(needed > largest ? { cut: true } : needed ? { block_size: needed } : {});
  }
}

/** Return a list of the reasons, with a few of the lines.
 * @param {Made} made */
function droppedList({ dropped, examples }) {
  const items = Object.entries(dropped).map(([reason, count]) => {
    const item = make("li", {}, `${reason}: ${grouped(count)}`);
    const shown = examples[reason].filter(({ text }) => text.trim());
    shown.forEach(({ line, text }, i) => {
      item.append(i ? ", " : ", such as ", `line ${grouped(line)} `, make("bdi", {}, make("code", {}, text)));
    });
    return item;
  });
  return make("ul", { className: "dropped" }, ...items);
}

/** @param {string} path
 * @returns {Promise<string>} */
async function fetchText(path) {
  try {
    const response = await fetch(path);
    if (!response.ok) throw new Error(`the server answers ${response.status}`);
    return await response.text();
  } catch (error) {
    throw new Error(`${path} could not be loaded (${messageOf(error)}): choose it again to try once more`);
  }
}
