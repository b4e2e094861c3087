// Read a board's log as it comes from a serial port: bytes into lines, a line into an event or null.
//
// The rules are those of tools/microgpt_board/device/log.py and serial_lines.py, and the numbers in them
// come from there, in site.json ("log"). tests/support/log_cases.json holds both readers to one another.

/**
 * What log.py hands over.
 * @typedef {object} Rules
 * @property {Record<string, number>} sizes the sizes and switches of a model in their order, by default
 * @property {string[]} switches those of them that are 0 or 1
 * @property {[number, string[]][][]} parameters terms (factor, sizes) whose sum is the number of parameters:
 *   of a model whose lm_head is its own, and of one whose lm_head is wte
 * @property {[number, number][]} driving code points that the board escapes, first and last
 * @property {number} longest_name characters, escapes as such
 * @property {number} longest_line bytes
 */

/**
 * @typedef {object} Start the first remark, which describes the run; `data` is the number of documents
 * @property {"start"} kind
 * @property {string} version
 * @property {string} board
 * @property {string} kernels
 * @property {string} reason
 * @property {number} seed
 * @property {number} parameters
 * @property {number} steps
 * @property {number} data
 * @property {number} vocab_size
 * @property {Record<string, number | boolean>} model
 */
/** @typedef {{kind: "step", step: number, loss: number, mean: number, lr: number, ms: number,
 *             free: number}} Step */
/** @typedef {{kind: "name", text: string}} Name */
/** @typedef {{kind: "remark", text: string}} Remark */
/** @typedef {Start | Step | Name | Remark} Event */

const INT = "([0-9]{1,10})";
const WORD = "([\\w.+-]+)";
const LOSS = "([0-9]{1,38}\\.[0-9]{4}|nan|inf)"; // up to the largest float32, with exactly its decimals
const STEP = new RegExp(
  `^step:${INT} loss:${LOSS} mean:${LOSS} lr:([0-9]{1,10}\\.[0-9]{5}) ms:([0-9]{1,10}\\.[0-9]) free:${INT}$`,
);
const START = new RegExp(
  `^# microgpt-esp32 ${WORD} board:${WORD} kernels:${WORD} reason:${WORD} ` +
    `seed:${INT} parameters:${INT} steps:${INT} data:${INT}((?: \\w+:[0-9]{1,10})*)$`,
);
const ESCAPE = /\\x[0-9a-f]{2}|\\u[0-9a-f]{4}/g;
const LOST_BYTE = /[\ud800-\udfff]/u; // as a code point of its own
const LOST_BYTES = /[\udc80-\udcff]/gu;

/**
 * Return the event that `line` (without its end) is, or null.
 * @param {string} line
 * @param {Rules} rules
 * @returns {Event | null}
 */
export function parse(line, rules) {
  const step = STEP.exec(line);
  if (step) {
    const [loss, mean, lr, ms] = step.slice(2, 6).map(number);
    return { kind: "step", step: Number(step[1]), loss, mean, lr, ms, free: Number(step[6]) };
  }
  if (line.startsWith("name:")) {
    const text = line.slice(5);
    return isName(text, rules) ? { kind: "name", text } : null;
  }
  const start = START.exec(line);
  const event = start && startOf(start, rules);
  if (event) return event;
  return line.startsWith("# ") ? { kind: "remark", text: legible(line.slice(2)) } : null;
}

/** @param {string} text */
function number(text) {
  return text === "nan" ? NaN : text === "inf" ? Infinity : Number(text);
}

/**
 * Return whether the board can have logged `text` as a name: what could drive a terminal is escaped.
 * @param {string} text
 * @param {Rules} rules
 */
function isName(text, rules) {
  if (LOST_BYTE.test(text)) return false;
  const codes = Array.from(text, (character) => /** @type {number} */ (character.codePointAt(0)));
  const drives = codes.some((code) => rules.driving.some(([first, last]) => first <= code && code <= last));
  return codes.length <= rules.longest_name && !drives;
}

/**
 * Return the first remark; null if its sizes are impossible, or not of so many parameters.
 * @param {RegExpExecArray} found
 * @param {Rules} rules
 * @returns {Start | null}
 */
function startOf(found, rules) {
  const given = found[9] ? found[9].slice(1).split(" ").map((pair) => pair.split(":")) : [];
  const names = Object.keys(rules.sizes);
  let place = -1;
  const sizes = { ...rules.sizes };
  for (const [name, value] of given) {
    const next = names.indexOf(name);
    if (next <= place || (rules.switches.includes(name) && !/^[01]$/.test(value))) return null;
    place = next;
    sizes[name] = Number(value);
  }
  const [version, board, kernels, reason] = found.slice(1, 5);
  const [seed, parameters, steps, data] = found.slice(5, 9).map(Number);
  if (parameterCount(sizes, rules) !== parameters) return null;
  const model = Object.fromEntries(
    names.slice(1).map((name) => [name, rules.switches.includes(name) ? Boolean(sizes[name]) : sizes[name]]),
  );
  const { vocab_size } = sizes;
  return { kind: "start", version, board, kernels, reason, seed, parameters, steps, data, vocab_size, model };
}

/**
 * Return the number of parameters of a model, NaN if no model has these sizes.
 * @param {Record<string, number>} sizes
 * @param {Rules} rules
 */
export function parameterCount(sizes, rules) {
  const numbers = Object.keys(rules.sizes).filter((name) => !rules.switches.includes(name));
  if (numbers.some((name) => sizes[name] < 1) || sizes.n_embd % sizes.n_head) return NaN;
  const terms = rules.parameters[sizes.tie_lm_head ? 1 : 0];
  return terms.reduce(
    (sum, [factor, names]) => sum + names.reduce((product, name) => product * sizes[name], factor),
    0,
  );
}

/**
 * Return whether a model can have generated `name`: a longer one is parts of two lines. An escape counts
 * as one character.
 * @param {Start} start
 * @param {Name} name
 */
export function canGenerate(start, name) {
  return Array.from(name.text.replace(ESCAPE, "_")).length <= Number(start.model.block_size);
}

/**
 * Return a line of a board with each byte that is not UTF-8 as an escape, `\xff`.
 * @param {string} line
 */
export function legible(line) {
  return line.replace(LOST_BYTES, (lost) => `\\x${(lost.charCodeAt(0) - 0xdc00).toString(16)}`);
}

/** Cuts a stream of bytes, in parts of any size, into lines that end with LF or CR LF. */
export class Lines {
  /** @param {Rules} rules */
  constructor(rules) {
    this.longest = rules.longest_line;
    this.rest = new Uint8Array();
  }

  /**
   * Return the lines that `data` completes, without their ends. A byte that is not UTF-8 becomes a lone
   * surrogate; `legible` shows it. A line that is too long is noise, and is cut.
   * @param {Uint8Array} data
   */
  push(data) {
    const bytes = new Uint8Array(this.rest.length + data.length);
    bytes.set(this.rest);
    bytes.set(data, this.rest.length);
    /** @type {string[]} */
    const lines = [];
    let start = 0;
    for (let end; (end = bytes.indexOf(10, start)) >= 0; start = end + 1) {
      const line = bytes.subarray(start, bytes[end - 1] === 13 ? end - 1 : end);
      lines.push(...this.cut(line).map(decode));
    }
    const parts = this.cut(bytes.subarray(start));
    this.rest = /** @type {Uint8Array} */ (parts.pop()).slice();
    return [...lines, ...parts.map(decode)];
  }

  /** @param {Uint8Array} line */
  cut(line) {
    const count = Math.max(1, Math.ceil(line.length / this.longest));
    return Array.from({ length: count }, (_, i) => line.subarray(i * this.longest, (i + 1) * this.longest));
  }
}

const strict = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/**
 * Return text as UTF-8 has it; a byte that is not part of any becomes the surrogate 0xdc00 + byte.
 * @param {Uint8Array} bytes
 */
function decode(bytes) {
  try {
    return strict.decode(bytes);
  } catch {
    let text = "";
    for (let i = 0; i < bytes.length; ) {
      const character = characterAt(bytes, i);
      text += character ?? String.fromCharCode(0xdc00 + bytes[i]);
      i += character === null ? 1 : new TextEncoder().encode(character).length;
    }
    return text;
  }
}

/**
 * Return the character whose UTF-8 begins at `i`, null if none does.
 * @param {Uint8Array} bytes
 * @param {number} i
 */
function characterAt(bytes, i) {
  const length = bytes[i] < 0x80 ? 1 : bytes[i] < 0xe0 ? 2 : bytes[i] < 0xf0 ? 3 : 4;
  try {
    return strict.decode(bytes.subarray(i, i + length)) || null;
  } catch {
    return null;
  }
}
