// What is trained in this tab: the board that runs, the run that the form describes, and how one starts.

import { TabBoard } from "../board/board.js";
import { unusual } from "../model/values.js";

/** @typedef {import("../model/values.js").Site} Site
 * @typedef {import("../model/values.js").Values} Values
 * @typedef {import("../data/names_bin.js").How} How
 * @typedef {import("../data/packing.js").Made} Made
 * @typedef {import("../model/link.js").Source} Source
 * @typedef {{values: Values, how: How, made: Made, source: Source, text: string}} Draft
 *   what the form describes: all settings, and the documents
 * @typedef {{settings: Values, names: Uint8Array, source: Source, text: string}} Run
 *   `settings`: those that are not the default, as ugpt.json has them
 * @typedef {{name: string, charset: string, sizes: Values, weights: Float32Array}} Model
 * @typedef {{parameters: number, needed: number, refusals: Record<string, string>, tab: string}} Verdict
 * @typedef {"none"|"ready"|"training"|"generating"|"done"|"failed"} Phase
 * @typedef {Record<string, any> & {phase: Phase, step: number, steps: number, running: boolean}} State */

export class Refused extends Error {}

/** Events: "board" when a new run has begun, "log" and "state" of its board, "names" when the documents or
 * settings of the form have changed, "failure" when the board has stopped; "starting" before and "settled"
 * after an attempt to start. */
export class Session extends EventTarget {
  /** @param {Site} site */
  constructor(site) {
    super();
    this.site = site;
    this.kernels = new URLSearchParams(location.search).get("kernels") !== "portable";
    /** @type {TabBoard|null} */
    this.board = null;
    /** @type {TabBoard|null} */
    this.spare = null; // loaded, and not yet started: it answers questions, and takes the next run
    /** @type {Run|null} */
    this.run = null;
    /** @type {Draft|null} */
    this.draft = null; // of the form; null while it has an error
    /** @type {Draft|null} */
    this.begun = null; // of the run on the board
    /** @type {State|null} */
    this.state = null;
    this.starting = false;
    this.loaded = ""; // the name of the model that the run began with, "" if it drew its own weights
    /** @type {(model: Model) => Promise<void>} */
    this.loadModel = async () => {}; // set in try.js, where the form is
  }

  /** Call `f` with each event of this name.
   * @param {string} event
   * @param {(event: any) => void} f */
  on(event, f) {
    this.addEventListener(event, f);
  }

  /** @param {string} name
   * @param {unknown} [detail] */
  tell(name, detail = null) {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }

  /** Note what the form describes now, null if it has an error.
   * @param {Draft|null} draft */
  describe(draft) {
    this.draft = draft;
    if (draft) {
      const { made, source, text, values } = draft;
      this.run = { settings: unusual(values, this.site), names: made.data, source, text };
    }
    this.tell("names");
  }

  /** Return a board that has no run, loading it if there is none. */
  async idle() {
    const board = (this.spare ??= new TabBoard({ kernels: this.kernels }));
    try {
      await board.ready;
    } catch (error) {
      if (this.spare === board) this.spare = null; // the next try loads it again
      board.terminate();
      throw error;
    }
    return board;
  }

  /** Return what a model of these sizes takes, and whether the tab and the boards can hold it.
   * @param {Values} sizes
   * @returns {Promise<Verdict>} */
  async check(sizes) {
    const board = await this.idle();
    return board.check(sizes, this.site.boards);
  }

  /** Begin a run, and end the one before; that one stays if this one cannot begin.
   * @param {Draft} draft
   * @param {Model|null} [model] whose weights the run begins with */
  async start(draft, model = null) {
    if (this.starting) return;
    this.starting = true;
    this.tell("starting");
    try {
      const { parameters, tab } = await this.check(sizesOf(draft));
      if (tab) throw new Refused(tab);
      const weights = model?.weights ?? null;
      if (weights && weights.length !== parameters) {
        throw new Refused("the model has another number of weights than its sizes need");
      }
      const board = await this.idle();
      this.spare = null;
      await this.take(board, draft, weights);
      this.loaded = model?.name ?? "";
    } finally {
      this.starting = false;
      this.tell("settled");
    }
  }

  /** Let a board begin a run and show it, or end it if it cannot.
   * @param {TabBoard} board
   * @param {Draft} draft
   * @param {Float32Array|null} weights */
  async take(board, draft, weights) {
    /** @type {[string, any][]} */
    let early = []; // what it says before its run is the one that is shown
    const hear = (/** @type {Event} */ event) => {
      const { type, detail } = /** @type {CustomEvent} */ (event);
      if (this.board === board) this.pass(type, detail);
      else early.push([type, detail]);
    };
    for (const type of ["log", "state", "failure"]) board.addEventListener(type, hear);
    try {
      const settings = unusual(draft.values, this.site);
      await board.start({ settings, names: draft.made.data, weights });
    } catch (error) {
      board.terminate();
      throw error;
    }
    this.board?.terminate();
    this.board = board;
    this.begun = draft;
    this.state = null;
    this.tell("board");
    for (const [type, detail] of early) this.pass(type, detail);
    early = [];
  }

  /** @param {string} type
   * @param {any} detail */
  pass(type, detail) {
    if (type === "state") this.state = detail;
    this.tell(type, detail);
  }
}

/** Return the sizes of the model that a draft describes.
 * @param {Draft} draft
 * @returns {Values} */
export function sizesOf({ values, made }) {
  const { n_embd, n_head, n_layer, block_size, tie_lm_head, input_rmsnorm } = values;
  const vocab_size = [...made.charset].length + 1;
  return { vocab_size, n_embd, n_head, n_layer, block_size, tie_lm_head, input_rmsnorm };
}
