// The virtual board: MicroPython with the board's program and its kernels, in a worker or in Node.

import { link } from "./kernels.js";
import { load } from "./micropython.js";

/** @typedef {import("./micropython.js").MicroPython} MicroPython */

/**
 * @typedef {object} Parts
 * @property {string | undefined} micropython the address of micropython.wasm
 * @property {Record<string, string>} program the Python files: {"ugpt/app.py": "…", "tab.py": "…"}
 * @property {Uint8Array | null} kernels kernels.wasm; null: the portable kernels
 * @property {(line: string) => void} print called for each line of the board's log
 */

/**
 * @typedef {object} Facts of a run
 * @property {string} charset
 * @property {Record<string, any>} sizes those of ugpt.layout
 * @property {[string, [number, number], number][]} table name, rows and columns, offset of each matrix
 * @property {number} parameters
 * @property {number} address of the parameters, in MicroPython's memory
 * @property {number} data the number of documents, as in the log
 * @property {number} documents
 * @property {number} data_crc
 * @property {number} record_size
 * @property {number} seed
 * @property {string} kernels "native" or "portable"
 */

/**
 * What the model computes for a text of n - 1 characters, at n positions, of which BOS is the first.
 * @typedef {object} Inside
 * @property {string} text as far as it fits into the block
 * @property {number[]} tokens the n tokens that the model reads
 * @property {string[]} characters their labels, "·" for BOS
 * @property {number} n_layer
 * @property {number} n_head
 * @property {number} n
 * @property {Float32Array} attention (layer, head, position, position looked at)
 * @property {Float32Array} logits (position, token)
 * @property {Float32Array} losses of the token that follows each position; BOS follows the last
 * @property {Float32Array} embeddings (token, n_embd)
 */

/** @typedef {{sizes: Record<string, any>, table: Facts["table"], parameters: number, needed: number,
 *   refusals: Record<string, string>, tab: string}} Verdict on a model of all these sizes */

/** @typedef {{phase: string, step: number, steps: number, losses?: (number | null)[],
 *             failure?: string}} State */

const FOLDER = "/board";

// MicroPython's heap. It is no larger than the model needs, since to count the free memory, as for
// each line of the log, takes 0.1 ms for each MB. It cannot be enlarged: it grows by itself, but only
// for small objects, and a model's buffers are large.
const SMALLEST_HEAP = 2 * 1024 * 1024;
const LARGEST_HEAP = 16 * 1024 * 1024; // a board has 8 MB at most; to draw the weights takes seconds
const PROGRAM = 512 * 1024; // bytes for the program itself, and for garbage
const TABLES = 13 / 512; // of the heap are MicroPython's own

const PREPARING = 20; // ms in which the initial weights are drawn, until garbage can be collected
const TAB = " "; // no board's name

/** Returns the losses of the target tokens, from logits of `width` a position.
 * @param {Float32Array} logits
 * @param {number[]} targets
 */
function lossesOf(logits, targets) {
  const width = logits.length / targets.length;
  return Float32Array.from(targets, (target, t) => {
    const row = logits.subarray(t * width, (t + 1) * width);
    const largest = Math.max(...row);
    const total = row.reduce((sum, logit) => sum + Math.exp(logit - largest), 0);
    return Math.log(total) + largest - row[target];
  });
}

/**
 * MicroPython with the program and, if there are any, the kernels.
 * @typedef {{heap: number, micropython: MicroPython, memory: WebAssembly.Memory, tab: any}} Machine
 */

/** Start MicroPython with a heap of so many bytes.
 * @param {Parts} parts
 * @param {number} heap
 * @returns {Promise<Machine>}
 */
async function boot({ micropython: url, program, kernels, print }, heap) {
  const { micropython, memory } = await load(url, heap, print);
  const files = micropython.FS;
  const folders = new Set(Object.keys(program).map((path) => path.slice(0, path.lastIndexOf("/") + 1)));
  for (const folder of ["", ...[...folders].filter(Boolean).sort()]) files.mkdir(`${FOLDER}/${folder}`);
  for (const [path, text] of Object.entries(program)) files.writeFile(`${FOLDER}/${path}`, text);
  micropython.runPython(`import os, sys\nos.chdir("${FOLDER}")\nsys.path.insert(0, "${FOLDER}")`);
  const tab = micropython.pyimport("tab");
  if (kernels) {
    // The program finds out itself whether the file is whole, and says so in its log.
    files.writeFile(`${FOLDER}/ugpt/kernels.wasm`, kernels);
    const stack = { address: tab.STACK, size: tab.STACK_SIZE };
    await link(micropython, memory, kernels, stack).catch(() => {});
  }
  // Each access to a function of the module would make a new object.
  const { forget, needed, start, prepare, replaced, advance, state, sample, look, check } = tab;
  const functions = { forget, needed, start, prepare, replaced, advance, state, sample, look, check };
  return { heap, micropython, memory, tab: functions };
}

export class VirtualBoard {
  /** @type {Facts | null} */
  facts = null;

  /**
   * Load MicroPython and the program; the kernels are chosen when a run starts.
   * @param {Parts} parts
   */
  static async load(parts) {
    return new VirtualBoard(parts, await boot(parts, SMALLEST_HEAP));
  }

  /**
   * @param {Parts} parts
   * @param {Machine} machine
   */
  constructor(parts, machine) {
    this.parts = parts;
    this.machine = machine;
  }

  /** A copy of floats in MicroPython's memory.
   * @param {number} address
   * @param {number} length
   */
  floats(address, length) {
    return new Float32Array(this.machine.memory.buffer, address, length).slice();
  }

  /**
   * Forget the run there is and prepare another, up to its first step.
   * @param {{settings: object, names: Uint8Array, weights?: Float32Array | null}} run the content of
   *   ugpt.json and of names.bin; the weights instead of those that the seed gives, in flat order
   * @returns {Promise<Facts>}
   */
  async start({ settings, names, weights }) {
    this.facts = null;
    const write = () => {
      const { FS: files } = this.machine.micropython;
      files.writeFile(`${FOLDER}/ugpt.json`, JSON.stringify(settings));
      files.writeFile(`${FOLDER}/names.bin`, names);
    };
    this.machine.tab.forget();
    write();
    const needed = (this.machine.tab.needed() + PROGRAM) / (1 - TABLES);
    const heap = Math.min(Math.max(needed, SMALLEST_HEAP), LARGEST_HEAP);
    if (heap > this.machine.heap || heap < this.machine.heap / 4) {
      this.machine = await boot(this.parts, Math.round(heap));
      write();
    }
    this.machine.tab.start();
    let answer = "";
    while (!answer) answer = this.machine.tab.prepare(PREPARING);
    const facts = JSON.parse(answer);
    if (facts.failure) throw new Error(facts.failure);
    if (weights) {
      if (weights.length !== facts.parameters) {
        throw new Error(
          `the loaded model has ${weights.length} parameters, a model of these sizes ${facts.parameters}`,
        );
      }
      new Float32Array(this.machine.memory.buffer, facts.address, facts.parameters).set(weights);
      this.machine.tab.replaced();
    }
    this.facts = facts;
    return facts;
  }

  /** Do so many steps, or names, or those that take so many milliseconds.
   * @param {number} count
   * @param {number} ms
   * @returns {State}
   */
  advance(count, ms) {
    const state = JSON.parse(this.machine.tab.advance(count, ms));
    if (state.failure) this.facts = null;
    return state;
  }

  /** @returns {State} */
  state() {
    return JSON.parse(this.machine.tab.state());
  }

  /** A few names that the model makes now; the run is unchanged by it.
   * @param {number} ms the time for it
   * @returns {string[]}
   */
  sample(ms) {
    return JSON.parse(this.machine.tab.sample(ms));
  }

  /** @returns {Float32Array} a copy of the parameters, in flat order */
  weights() {
    const { address, parameters } = this.started();
    return this.floats(address, parameters);
  }

  /** What the model computes for a text; the run is unchanged by it.
   * @param {string} text
   * @returns {Inside}
   */
  look(text) {
    const { sizes, charset } = this.started();
    const { n_layer, n_head, vocab_size, n_embd } = sizes;
    const found = JSON.parse(this.machine.tab.look(text));
    if (found.error) throw new Error(found.error);
    const { n, tokens } = found;
    const labels = ["·", ...charset];
    const attention = new Float32Array(n_layer * n_head * n * n);
    found.attention.forEach((/** @type {number} */ address, /** @type {number} */ layer) => {
      attention.set(this.floats(address, n_head * n * n), layer * n_head * n * n);
    });
    for (let i = 0; i < attention.length; i++) {
      if (i % n > Math.floor(i / n) % n) attention[i] = 0; // later positions: the kernel leaves them out
    }
    const logits = this.floats(found.logits, n * vocab_size);
    return {
      text: found.text,
      tokens: tokens.slice(0, n),
      characters: tokens.slice(0, n).map((/** @type {number} */ token) => labels[token]),
      n_layer,
      n_head,
      n,
      attention,
      logits,
      losses: lossesOf(logits, tokens.slice(1)),
      embeddings: this.floats(found.embeddings, vocab_size * n_embd),
    };
  }

  /** What a model of these sizes needs, and which memories are too small for it.
   * @param {Record<string, any>} sizes
   * @param {{name: string, free: number, piece: number}[]} memories
   * @returns {Verdict}
   */
  check(sizes, memories) {
    const tab = Math.floor(LARGEST_HEAP * (1 - TABLES)) - PROGRAM;
    const request = { sizes, memories: [...memories, { name: TAB, free: tab, piece: tab }] };
    const { error, ...result } = JSON.parse(this.machine.tab.check(JSON.stringify(request)));
    if (error) throw new Error(error);
    const { [TAB]: refusal, ...refusals } = result.refusals;
    return { ...result, refusals, tab: refusal };
  }

  /** @returns {Facts} */
  started() {
    if (!this.facts) throw new Error("no run has been started");
    return this.facts;
  }
}
