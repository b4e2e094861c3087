// A model's folder, weights.json and meta.json, as a zip: written, and read with every error in one line.

import { Zip, ZipDeflate } from "fflate";
import { messageOf } from "../../common/elements.js";
import { grouped } from "../../common/text.js";
import { byCodePoint } from "../data/unicode.js";
import { FileError, bytesOf, entriesOf, isZip, unpacked } from "./zip.js";

export { FileError };

/** @typedef {[name: string, shape: [rows: number, columns: number], offset: number]} Place
 * @typedef {Record<string, number|boolean>} Sizes  vocab_size, n_embd and so on, as ugpt.layout.Sizes
 * @typedef {{sizes: Sizes, parameters: number, table: Place[]}} Plan  what the worker says of sizes
 * @typedef {{name: string, blob: Blob}} Given  a file that a person has chosen or dropped
 * @typedef {{name: string, charset: string, sizes: Sizes, weights: Float32Array}} Model
 *   tokens as in names.bin: 0 is BOS, then the characters by code point; weights in flat order
 * @typedef {{name: string, size: number, read: () => Promise<Uint8Array>}} Part */

const META = "meta.json";
const WEIGHTS = "weights.json";
const NO_SAFETENSORS =
  "safetensors files are not read here: microgpt export MODEL --format json --out FOLDER writes what is";
const META_MOST = 1 << 18; // bytes; no board's character set is near it
const NUMBER_MOST = 100; // bytes that a number and the white space around it can take
const NAMED = /^(weights|meta)[^/]*\.json$/i; // a browser saves a second one as "meta (1).json"
const BY_TOKEN = ["wte", "lm_head"]; // the matrices with a row for each token
const TURN = 12; // milliseconds of work before the page has its turn

/** Return the zip of a folder `name` with the model: what `microgpt.load` reads.
 * @param {string} name
 * @param {{charset: string, sizes: Sizes, table: Place[]}} facts
 * @param {Float32Array} weights
 * @returns {Promise<Blob>} */
export async function writeModel(name, facts, weights) {
  for (const [matrix, [rows, columns], offset] of facts.table) {
    if (!weights.subarray(offset, offset + rows * columns).every(Number.isFinite)) {
      throw new FileError(`${matrix} has a value that is not finite: start again with a smaller lr`);
    }
  }
  /** @type {Uint8Array<ArrayBuffer>[]} */
  const chunks = [];
  const zip = new Zip((error, chunk) => {
    if (error) throw error;
    chunks.push(new Uint8Array(chunk));
  });
  const meta = { charset: facts.charset, bos: 0, special_tokens: [], ...facts.sizes };
  await add(zip, `${name}/${META}`, [JSON.stringify(meta)]);
  await add(zip, `${name}/${WEIGHTS}`, rowsOf(facts.table, weights));
  zip.end();
  return new Blob(chunks, { type: "application/zip" });
}

/** Add a file to a zip, in pieces, between which the page stays responsive.
 * @param {Zip} zip
 * @param {string} name
 * @param {Iterable<string>} texts */
async function add(zip, name, texts) {
  const file = new ZipDeflate(name, { level: 6 });
  zip.add(file);
  const encoder = new TextEncoder();
  let turn = performance.now();
  for (const text of texts) {
    file.push(encoder.encode(text));
    if (performance.now() - turn > TURN) {
      await new Promise((resolve) => setTimeout(resolve));
      turn = performance.now();
    }
  }
  file.push(new Uint8Array(0), true);
}

/** Yield the text of weights.json, a row at a time.
 * @param {Place[]} table
 * @param {Float32Array} weights */
function* rowsOf(table, weights) {
  let before = "{";
  for (const [name, [rows, columns], offset] of table) {
    yield `${before}${JSON.stringify(name)}: [`;
    for (let row = 0; row < rows; row++) {
      const at = offset + row * columns;
      yield `${row ? ", " : ""}[${Array.from(weights.subarray(at, at + columns), asText).join(", ")}]`;
    }
    yield "]";
    before = ", ";
  }
  yield "}";
}

/** Return a float32 as JSON that is read back to the same bits, also where whole numbers are integers.
 * @param {number} value */
function asText(value) {
  const text = Object.is(value, -0) ? "-0" : String(value);
  return /[.e]/.test(text) ? text : `${text}.0`;
}

/** Return the model in files that a person has chosen: a zip, or weights.json and meta.json.
 *
 * `plan` says what a model of some sizes is made of, or throws an Error if the tab cannot hold it;
 * it is asked before memory is taken for the weights. Throws FileError, which says what is wrong.
 * @param {Given[]} files
 * @param {(sizes: Sizes) => Promise<Plan>} plan
 * @returns {Promise<Model>} */
export async function readModel(files, plan) {
  const { name, meta, weights } = await find(files);
  if (meta.size > META_MOST) {
    throw new FileError(`${meta.name} has ${grouped(meta.size)} bytes, more than a model's: choose another`);
  }
  const { charset, bos, sizes } = readMeta(jsonOf(await meta.read(), meta.name), meta.name);
  let planned;
  try {
    planned = await plan(sizes);
  } catch (error) {
    throw new FileError(`${meta.name}: ${messageOf(error)}`);
  }
  const { parameters } = planned;
  if (weights.size < 2 * parameters || weights.size > NUMBER_MOST * (parameters + META_MOST / 16)) {
    const wrong = weights.size < 2 * parameters ? "few" : "many";
    throw new FileError(
      `${weights.name}: ${grouped(weights.size)} bytes are too ${wrong} for the ${grouped(parameters)} ` +
        `parameters that ${META} asks for: choose the files of one model`,
    );
  }
  const flat = readWeights(jsonOf(await weights.read(), weights.name), planned, weights.name);
  const characters = [...charset];
  const sorted = [...characters].sort(byCodePoint);
  const first = bos === 0 ? 1 : 0;
  const order = [bos, ...sorted.map((character) => characters.indexOf(character) + first)];
  return { name, charset: sorted.join(""), sizes: planned.sizes, weights: reordered(flat, planned, order) };
}

/** Return the two files of the model, and what to call it; nothing of their content is read.
 * @param {Given[]} files
 * @returns {Promise<{name: string, meta: Part, weights: Part}>} */
async function find(files) {
  for (const { name, blob } of files) {
    if (blob.size && (await isZip(blob))) {
      if (files.length > 1) throw new FileError(`choose ${name} alone: a zip is a whole model`);
      return findInZip(blob, name);
    }
  }
  for (const { name } of files) {
    if (/\.safetensors$/i.test(name)) {
      throw new FileError(`${name}: ${NO_SAFETENSORS}`);
    }
    if (!NAMED.test(name)) {
      throw new FileError(`${name} is not a model: choose a zip, or weights.json and meta.json`);
    }
  }
  const [meta, weights] = [META, WEIGHTS].map((wanted) => {
    const found = files.filter(({ name }) => name.toLowerCase().startsWith(wanted.split(".")[0]));
    if (found.length > 1) throw new FileError(`${found.length} files are called ${wanted}: choose one`);
    if (!found.length) throw new FileError(`${wanted} is missing: choose it with the other file, or a zip`);
    const { name, blob } = found[0];
    return { name, size: blob.size, read: () => bytesOf(blob) };
  });
  return { name: "weights.json", meta, weights };
}

/** Return the two files of the one model in a zip.
 * @param {Blob} blob
 * @param {string} zip */
async function findInZip(blob, zip) {
  const entries = await entriesOf(blob, zip);
  const byName = new Map(entries.map((entry) => [entry.name, entry]));
  const folders = entries
    .filter(({ name }) => name === META || name.endsWith(`/${META}`))
    .map(({ name }) => name.slice(0, -META.length))
    .filter((folder) => byName.has(folder + WEIGHTS));
  if (folders.length > 1) {
    const [one, other] = folders.map((folder) => folder || "./");
    throw new FileError(`${zip} has ${folders.length} models, in ${one} and ${other}: zip one of them`);
  }
  if (!folders.length) {
    const other = entries.find(({ name }) => /\.safetensors$/i.test(name));
    if (other) throw new FileError(`${other.name}: ${NO_SAFETENSORS}`);
    throw new FileError(`${zip} is not a model: it has no ${WEIGHTS} with a ${META} beside it`);
  }
  const [meta, weights] = [META, WEIGHTS].map((name) => {
    const entry = /** @type {import("./zip.js").Entry} */ (byName.get(folders[0] + name));
    return { name: entry.name, size: entry.size, read: () => unpacked(blob, entry) };
  });
  return { name: zip, meta, weights };
}

/** Return the JSON object that a file holds.
 * @param {Uint8Array} bytes
 * @param {string} name
 * @returns {Record<string, unknown>} */
function jsonOf(bytes, name) {
  let text;
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(bytes); // it leaves out a byte order mark
  } catch {
    throw new FileError(`${name} is not JSON: it is not UTF-8 text`);
  }
  let content;
  try {
    content = JSON.parse(text);
  } catch (error) {
    if (/[[,:]\s*-?(NaN|Infinity)\s*[\],}]/.test(text)) {
      throw new FileError(`${name} has a value that is not finite: NaN or Infinity; train the model again`);
    }
    throw new FileError(`${name} is not JSON: ${oneLine(messageOf(error))}`);
  }
  if (typeof content !== "object" || content === null || Array.isArray(content)) {
    throw new FileError(`${name} is not a JSON object`);
  }
  return content;
}

/** Return what meta.json says; sizes that it lacks are left out.
 * @param {Record<string, unknown>} meta
 * @param {string} name
 * @returns {{charset: string, bos: number, sizes: Sizes}} */
function readMeta(meta, name) {
  const { charset: given, vocab_size, special_tokens = [], bos, ...rest } = meta;
  const single = (/** @type {unknown} */ text) => typeof text === "string" && [...text].length === 1;
  const charset = Array.isArray(given) && given.every(single) ? given.join("") : given;
  if (typeof charset !== "string") throw new FileError(`${name} has no charset, a string of characters`);
  const characters = [...charset];
  const count = characters.length;
  if (!count || new Set(characters).size !== count) {
    throw new FileError(`${name}: charset must be characters, each of them once`);
  }
  if (!Array.isArray(special_tokens)) {
    throw new FileError(`${name}: special_tokens must be an array of names`);
  }
  if (special_tokens.length) {
    const names = oneLine(special_tokens.join(" "));
    throw new FileError(`${name}: the board's program has no special tokens, and the model has ${names}`);
  }
  if (bos !== undefined && bos !== 0 && bos !== count) {
    throw new FileError(`${name}: bos must be 0 or ${count}, not ${shown(bos)}`);
  }
  if (vocab_size !== undefined && vocab_size !== count + 1) {
    throw new FileError(`${name}: vocab_size is ${shown(vocab_size)}, charset and BOS make ${count + 1}`);
  }
  /** @type {Sizes} */
  const sizes = { vocab_size: count + 1 };
  for (const [key, value] of Object.entries(rest)) {
    if (/^n_|^block_size$/.test(key) && !(Number.isSafeInteger(value) && Number(value) > 0)) {
      throw new FileError(`${name}: ${key} must be a whole number from 1 on, not ${shown(value)}`);
    }
    if (/_lm_head$|_rmsnorm$/.test(key) && typeof value !== "boolean") {
      throw new FileError(`${name}: ${key} must be true or false, not ${shown(value)}`);
    }
    if (typeof value === "number" || typeof value === "boolean") sizes[key] = value;
  }
  return { charset, bos: bos ?? count, sizes };
}

/** Return the weights of weights.json in flat order.
 * @param {Record<string, unknown>} content
 * @param {Plan} plan
 * @param {string} file */
function readWeights(content, { parameters, table }, file) {
  const flat = new Float32Array(parameters);
  for (const [name, [rows, columns], offset] of table) {
    if (!Object.hasOwn(content, name)) throw new FileError(`${file}: ${name} is missing`);
    const matrix = content[name];
    const row = Array.isArray(matrix) ? matrix[0] : null;
    if (!Array.isArray(matrix) || !Array.isArray(row)) {
      throw new FileError(`${file}: ${name} is not a matrix of numbers`);
    }
    if (matrix.length !== rows || row.length !== columns) {
      throw new FileError(
        `${file}: ${name} has shape (${matrix.length}, ${row.length}), expected (${rows}, ${columns})`,
      );
    }
    matrix.forEach((values, r) => {
      const whole = Array.isArray(values) && values.length === columns;
      if (!whole || !values.every((value) => typeof value === "number")) {
        throw new FileError(`${file}: ${name} is not a matrix of numbers`);
      }
      flat.set(values, offset + r * columns);
    });
    if (!flat.subarray(offset, offset + rows * columns).every(Number.isFinite)) {
      throw new FileError(`${file}: ${name} has a value that is not finite in float32`);
    }
  }
  const known = new Set(table.map(([name]) => name));
  const unknown = Object.keys(content).find((name) => !known.has(name));
  if (unknown !== undefined) throw new FileError(`${file}: ${shown(unknown)} is not a matrix of this model`);
  return flat;
}

/** Return the weights with the rows of tokens in another order.
 * @param {Float32Array} flat
 * @param {Plan} plan
 * @param {number[]} order  the token that each row is of now */
function reordered(flat, { table }, order) {
  const result = flat.slice();
  for (const [name, [rows, columns], offset] of table) {
    if (!BY_TOKEN.includes(name)) continue;
    for (let row = 0; row < rows; row++) {
      const from = offset + order[row] * columns;
      result.set(flat.subarray(from, from + columns), offset + row * columns);
    }
  }
  return result;
}

/** @param {unknown} value */
const shown = (value) => oneLine(JSON.stringify(value) ?? String(value));

/** Return a text that fits a line.
 * @param {string} text */
function oneLine(text) {
  const plain = text.replace(/\s+/g, " ");
  return plain.length > 120 ? `${plain.slice(0, 120)}…` : plain;
}
