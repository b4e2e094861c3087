// The page's side of the virtual board in the tab: calls and events of its worker.

/** @typedef {import("./virtual_board.js").Facts} Facts */
/** @typedef {import("./virtual_board.js").Inside} Inside */

/**
 * The detail of an event "state".
 * @typedef {object} BoardState
 * @property {"ready" | "training" | "generating" | "done" | "failed"} phase
 * @property {number} step steps that are done
 * @property {number} steps
 * @property {boolean} running
 * @property {number} computing_ms the time that the program itself has taken
 * @property {string} kernels "native" or "portable"
 * @property {string} reason why, as in the log
 * @property {(number | null)[]} losses of the steps since the last state, null for an infinite one
 * @property {string[]} sample a few names that the model makes now, beside those of the run
 * @property {number} sampled steps that were done when it made them
 */

/**
 * A virtual board: the board's program in MicroPython, in a Web Worker of its own.
 *
 * Events: "log", detail {lines}, what the program prints, in order and whole; "state", detail
 * BoardState, after each change and often while it runs; "failure", detail {message}, when a run
 * that has been started cannot go on.
 */
export class TabBoard extends EventTarget {
  /** Facts about the run that `start` has prepared. @type {Facts | null} */
  facts = null;
  #last = 0;
  #ended = ""; // why no call can be answered any more
  /** @type {Map<number, {resolve: (result: any) => void, reject: (error: Error) => void}>} */
  #waiting = new Map();

  /**
   * @param {{kernels?: boolean}} [options] kernels false: the portable ones, as with ?kernels=portable
   *   in the page's address
   */
  constructor({ kernels = true } = {}) {
    super();
    const portable = new URLSearchParams(location.search).get("kernels") === "portable";
    this.worker = new Worker(new URL("worker.js", document.baseURI), { type: "module" });
    this.worker.addEventListener("message", ({ data }) => this.#receive(data));
    this.worker.addEventListener("error", (event) => {
      this.#giveUp(event.message || "the virtual board cannot be loaded: reload the page");
    });
    /** Resolved when MicroPython and the program are loaded. @type {Promise<void>} */
    this.ready = this.#call("load", kernels && !portable);
  }

  /** What a model of these sizes needs, and why some of the memories, or the tab, are too small.
   *
   * Rejected with the reason if no model has these sizes.
   * @param {Record<string, number | boolean>} sizes all those of ugpt.layout
   * @param {{name: string, free: number, piece: number}[]} [memories]
   * @returns {Promise<import("./virtual_board.js").Verdict>}
   */
  check(sizes, memories = []) {
    return this.#call("check", sizes, memories);
  }

  /** Prepare a run, up to its first step; the one before is lost. Rejected with the reason.
   * @param {{settings: object, names: Uint8Array, weights?: Float32Array | null}} run the settings, as
   *   in ugpt.json; the documents, as in names.bin; weights instead of those that the seed gives
   * @returns {Promise<Facts>}
   */
  async start(run) {
    this.facts = null;
    this.facts = /** @type {Facts} */ (await this.#call("start", run));
    return this.facts;
  }

  /** Train, then generate names, until `pause`.
   * @param {number} [stepsPerSecond] 0: as fast as it goes
   */
  run(stepsPerSecond = 0) {
    return this.#call("run", stepsPerSecond);
  }

  /** Stop after the step in progress. */
  pause() {
    return this.#call("pause");
  }

  /** Do one step, or one name. */
  step() {
    return this.#call("step");
  }

  /** What the model computes for a text, between two steps; the run is unchanged by it.
   *
   * Rejected, with a line that names it, for a character that the documents do not have.
   * @param {string} text
   * @returns {Promise<Inside>}
   */
  look(text) {
    return this.#call("look", text);
  }

  /** A copy of the weights, in flat order. @returns {Promise<Float32Array>} */
  weights() {
    return this.#call("weights");
  }

  /** End the worker. What was called and is not answered yet is rejected, as is every later call. */
  terminate() {
    this.worker.terminate();
    this.#refuse("this run has ended");
  }

  /**
   * @param {string} call
   * @param {...unknown} given
   * @returns {Promise<any>}
   */
  #call(call, ...given) {
    if (this.#ended) return Promise.reject(new Error(this.#ended));
    const id = ++this.#last;
    this.worker.postMessage({ id, call, given });
    return new Promise((resolve, reject) => this.#waiting.set(id, { resolve, reject }));
  }

  /** @param {{id?: number, result?: unknown, error?: string, event?: string, detail?: unknown}} message */
  #receive({ id, result, error, event, detail }) {
    if (event) this.dispatchEvent(new CustomEvent(event, { detail }));
    if (id === undefined) return;
    const waiting = this.#waiting.get(id);
    this.#waiting.delete(id);
    if (error === undefined) waiting?.resolve(result);
    else waiting?.reject(new Error(error));
  }

  /** @param {string} message */
  #refuse(message) {
    this.#ended ||= message;
    for (const { reject } of this.#waiting.values()) reject(new Error(message));
    this.#waiting.clear();
  }

  /** @param {string} message */
  #giveUp(message) {
    this.#refuse(message);
    this.dispatchEvent(new CustomEvent("failure", { detail: { message } }));
  }
}
