// Documents packed by the worker, from the page's side.

/** @typedef {import("./names_bin.js").Packed & {sha256: string}} Made  with the hash of its bytes
 * @typedef {{refusal: string, set: import("./names_bin.js").How}} Refused */

export class Packing {
  /** @param {import("./names_bin.js").Format} format */
  constructor(format) {
    this.format = format;
    this.latest = 0;
    /** @type {Map<number, {resolve: (made: any) => void, reject: (error: Error) => void}>} */
    this.waiting = new Map();
    /** @type {Worker|null} */
    this.worker = null;
  }

  /** Return names.bin of a text or the bytes of a file, or why there is none.
   * @param {string|Uint8Array} source
   * @param {import("./names_bin.js").How} how
   * @param {string} name
   * @returns {Promise<Made|Refused>} */
  pack(source, how, name) {
    const id = ++this.latest;
    const worker = (this.worker ??= this.start());
    return new Promise((resolve, reject) => {
      this.waiting.set(id, { resolve, reject });
      worker.postMessage({ id, source, how, format: this.format, name });
    });
  }

  start() {
    const worker = new Worker("packing.js", { type: "module" });
    worker.addEventListener("message", ({ data: { id, made } }) => {
      this.waiting.get(id)?.resolve(made);
      this.waiting.delete(id);
    });
    worker.addEventListener("error", (event) => {
      event.preventDefault();
      const reason = event.message || "a file of the page is missing";
      const error = new Error(`the documents could not be packed: ${reason}`);
      for (const { reject } of this.waiting.values()) reject(error);
      this.waiting.clear();
      worker.terminate();
      this.worker = null; // the next text starts another
    });
    return worker;
  }
}
