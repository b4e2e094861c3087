// Make names.bin, the documents as the board reads them, from a text: as microgpt-board's names_bin.py does.

import { grouped } from "../../common/text.js";
import { crc32 } from "./hashes.js";
import { ascii, beginning, byCodePoint, length, letters, normal, splitLines, strip } from "./unicode.js";

/** What of the format the tool tells: see site.json.
 * @typedef {object} Format
 * @property {string} magic
 * @property {number} version
 * @property {number} header_size
 * @property {number} alignment of a record and of the character set
 * @property {number} max_record_size
 * @property {number} max_characters that the character set can have
 * @property {number} max_text bytes of a text
 * @property {number} max_bytes of names.bin
 * @property {number} block_size of the default model
 * @property {string} letters that are kept by folding */

/** How a text becomes names.bin; what is left out or null is the tool's default.
 * @typedef {object} How
 * @property {number|null} [block_size] positions of the model, one more than characters of a document
 * @property {boolean} [fold] lower case, without accents, only a to z
 * @property {boolean} [cut] cut documents that are too long, instead of dropping them
 * @property {number|null} [max_characters] keep the most frequent, drop documents with others
 * @property {string|null} [charset] of a model that is there: drop documents with other characters */

/** The bytes of names.bin, and what became of the lines.
 * @typedef {object} Packed
 * @property {Uint8Array} data
 * @property {number} documents that were kept
 * @property {string} charset
 * @property {Record<string, number>} dropped documents by reason, reasons in ascending order
 * @property {Record<string, {line: number, text: string}[]>} examples the first lines of each reason
 * @property {number} cut documents that were cut to fit
 * @property {number} lost documents that lost letters which fold to none of a to z
 * @property {number} longest characters of a document
 * @property {number} needed block size for the longest of the dropped, 0 if none was too long
 * @property {number} record_size */

/** A text that cannot become names.bin; the message says why and what to do.
 * `set`: the settings that would make it possible. */
export class Refusal extends Error {
  /** @param {string} message
   * @param {How} [set] */
  constructor(message, set = {}) {
    super(message);
    this.set = set;
  }
}

const EMPTY = "empty";
const NO_LETTER = "no letter";
const CONTROL = "control characters";
const RARE = "rare characters";
const UNKNOWN = "characters that the model lacks";
const NAMED = 5; // characters that a message names
const EXAMPLES = 3; // lines of each reason to drop
const SHOWN = 60; // characters of such a line
const CONTROLS = /[\p{Cc}\p{Cs}]/u; // and surrogates, which are no text

/** Return the text in the bytes of a file; throw Refusal if it is too large or not UTF-8.
 * @param {Uint8Array} bytes
 * @param {string} name for the message
 * @param {Format} format
 * @returns {string} with the byte order mark, which `read` leaves out */
export function decode(bytes, name, format) {
  if (bytes.length > format.max_text) throw tooLong(name, format);
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw new Refusal(`${name} is not UTF-8 text: convert it, or choose another file`);
  }
}

/** Return the documents of a text, packed; throw Refusal if there is none to keep, or too much.
 * @param {string} text one document a line
 * @param {How} how
 * @param {Format} format
 * @param {string} name of the text, for messages
 * @returns {Packed} */
export function read(text, how, format, name) {
  if (3 * text.length > format.max_text && new TextEncoder().encode(text).length > format.max_text) {
    throw tooLong(name, format);
  }
  const packed = pack(splitLines(text.replace(/^\ufeff/, "")), how, format, name);
  if (!packed.documents) {
    const reasons = reasonsOf(packed) || "it is empty";
    const message = `${name} has no document to keep (${reasons})${advice(packed, format)}`;
    throw new Refusal(message, settingsFor(packed, format));
  }
  return packed;
}

/** Return what `read` makes of a text or of the bytes of a file; a Refusal as an object.
 * @param {string|Uint8Array} source
 * @param {How} how
 * @param {Format} format
 * @param {string} name
 * @returns {Packed | {refusal: string, set: How}} */
export function attempt(source, how, format, name) {
  try {
    return read(typeof source === "string" ? source : decode(source, name, format), how, format, name);
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    return { refusal: error.message, set: error.set };
  }
}

/** Return names.bin for some lines; throw Refusal for more characters or bytes than it can have.
 * @param {string[]} lines
 * @param {How} how
 * @param {Format} format
 * @param {string} name
 * @returns {Packed} */
export function pack(lines, how, format, name) {
  const longest = (how.block_size || format.block_size) - 1;
  const recordSize = aligned(longest + 1, format);
  /** @type {{line: number, text: string}[]} */
  let kept = [];
  const drops = new Drops();
  let cut = 0;
  let lost = 0;
  let needed = 0;
  lines.forEach((line, index) => {
    let [text, reason] = documentOf(line, how.fold ?? false, format);
    const tooLong = text.length > longest && length(text) > longest;
    if (!reason && tooLong && !how.cut) {
      reason = `over ${longest} characters`;
      needed = Math.max(needed, length(text) + 1);
    }
    if (reason) {
      drops.add(reason, index + 1, line);
      return;
    }
    if (tooLong) cut++;
    if (how.fold && letters(normal("NFC", line, piece(format))) > length(text)) lost++;
    kept.push({ line: index + 1, text: tooLong ? beginning(text, longest) : text });
  });
  /** @param {Set<string>} characters
   * @param {string} reason to drop the documents with others */
  const keepOnly = (characters, reason) => {
    kept = kept.filter(({ line, text }) => {
      const keep = consistsOf(text, characters);
      if (!keep) drops.add(reason, line, lines[line - 1]);
      return keep;
    });
  };
  let charset = how.charset || format.letters;
  if (how.charset) {
    keepOnly(new Set(charset), UNKNOWN);
  } else if (!how.fold) {
    const frequent = mostFrequent(kept, how, format, name);
    if (frequent) keepOnly(frequent, RARE);
    const used = new Set();
    for (const { text } of kept) for (const character of text) used.add(character);
    charset = [...used].sort(byCodePoint).join("");
  }
  if (kept.length * recordSize > format.max_bytes) {
    throw new Refusal(
      `${name} has ${grouped(kept.length)} documents, and ${recordSize} bytes for each are more than ` +
        `${grouped(format.max_bytes)}: give a shorter list, or fewer positions`,
    );
  }
  const data = file(kept, charset, recordSize, format);
  const { dropped, examples } = drops.sorted();
  const documents = kept.length;
  return { data, documents, charset, dropped, examples, cut, lost, longest, needed, record_size: recordSize };
}

/** Return how many documents were dropped for which reason.
 * @param {Packed} packed
 * @returns {string} */
export function reasonsOf(packed) {
  return Object.entries(packed.dropped)
    .map(([reason, count]) => `${reason}: ${grouped(count)}`)
    .join(", ");
}

/** Return how to keep the documents that were too long, "" if none was.
 * @param {Packed} packed
 * @param {Format} format
 * @returns {string} */
export function advice({ needed }, format) {
  if (needed > format.max_record_size) {
    return `; the longest has ${grouped(needed - 1)} characters: “Cut long lines” cuts it`;
  }
  return needed ? `; ${needed} positions keep the longest, “Cut long lines” cuts it` : "";
}

/** Return the settings that keep the documents that were too long.
 * @param {Packed} packed
 * @param {Format} format
 * @returns {How} */
export function settingsFor({ needed }, format) {
  if (needed > format.max_record_size) return { cut: true };
  return needed ? { block_size: needed } : {};
}

/** Return the documents in names.bin, in order.
 * @param {Uint8Array} data as `pack` made it
 * @param {Format} format
 * @returns {string[]} */
export function documentsOf(data, format) {
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  const at = format.magic.length;
  const [count, recordSize, size] = [4, 8, 16].map((offset) => view.getUint32(at + offset, true));
  const charset = [...new TextDecoder().decode(data.subarray(format.header_size, format.header_size + size))];
  const first = format.header_size + aligned(size, format);
  return Array.from({ length: count }, (_, index) => {
    const start = first + index * recordSize;
    let text = "";
    for (let i = 1; i <= data[start]; i++) text += charset[data[start + i] - 1];
    return text;
  });
}

/** The dropped documents: how many for each reason, and the first of them. */
class Drops {
  constructor() {
    /** @type {Map<string, {count: number, examples: {line: number, text: string}[]}>} */
    this.reasons = new Map();
  }

  /** @param {string} reason
   * @param {number} line its number, from 1
   * @param {string} text */
  add(reason, line, text) {
    const entry = this.reasons.get(reason) ?? { count: 0, examples: [] };
    entry.count++;
    if (entry.examples.length < EXAMPLES) entry.examples.push({ line, text: beginning(text, SHOWN) });
    this.reasons.set(reason, entry);
  }

  /** Return both as objects, reasons in ascending order. */
  sorted() {
    const entries = [...this.reasons].sort(([a], [b]) => (a < b ? -1 : 1));
    return {
      dropped: Object.fromEntries(entries.map(([reason, { count }]) => [reason, count])),
      examples: Object.fromEntries(entries.map(([reason, { examples }]) => [reason, examples])),
    };
  }
}

/** Return the document in a line, and the reason to drop it, or "" to keep it.
 * @param {string} line
 * @param {boolean} fold
 * @param {Format} format
 * @returns {[string, string]} */
function documentOf(line, fold, format) {
  const text = normal("NFC", strip(line), piece(format));
  if (!text) return [text, EMPTY];
  if (fold) {
    const folded = foldedOf(line, format);
    return [folded, folded ? "" : NO_LETTER];
  }
  return [text, CONTROLS.test(text) ? CONTROL : ""];
}

/** Return the letters a to z of a line: lower case, accents off, everything else left out.
 * @param {string} line
 * @param {Format} format
 * @returns {string} */
function foldedOf(line, format) {
  return normal("NFKD", line.toLowerCase(), piece(format)).replace(/[^a-z]+/g, "");
}

/** Return the code points that are normalised at once: NFC makes one of at most four.
 * @param {Format} format */
function piece(format) {
  return 4 * format.max_record_size;
}

/** Return the characters to keep, null if all can be kept; throw Refusal if the user has to say.
 * @param {{text: string}[]} documents
 * @param {How} how
 * @param {Format} format
 * @param {string} name
 * @returns {Set<string>|null} */
function mostFrequent(documents, how, format, name) {
  /** @type {Map<string, number>} */
  const found = new Map();
  for (const { text } of documents) {
    for (const character of new Set(text)) found.set(character, (found.get(character) ?? 0) + 1);
  }
  const limit = how.max_characters || format.max_characters;
  if (found.size <= limit) return null;
  const ordered = [...found.keys()].sort(
    (a, b) => Number(found.get(b)) - Number(found.get(a)) || byCodePoint(a, b),
  );
  const frequent = new Set(ordered.slice(0, limit));
  if (!how.max_characters) {
    const lost = documents.filter(({ text }) => !consistsOf(text, frequent)).length;
    const rarest = ordered.slice(-NAMED).reverse().map(ascii).join(", ");
    throw new Refusal(
      `${name} has ${grouped(found.size)} different characters, names.bin can have ${limit}; the rarest ` +
        `are ${rarest}: keeping the ${limit} most frequent drops ${grouped(lost)} of ` +
        `${grouped(documents.length)} documents`,
      { max_characters: limit },
    );
  }
  return frequent;
}

/** Return whether a text has no character that is not in `characters`.
 * @param {string} text
 * @param {Set<string>} characters
 * @returns {boolean} */
function consistsOf(text, characters) {
  for (const character of text) if (!characters.has(character)) return false;
  return true;
}

/** Return names.bin: header, character set, a record for each document.
 * @param {{text: string}[]} documents
 * @param {string} charset
 * @param {number} recordSize
 * @param {Format} format
 * @returns {Uint8Array} */
function file(documents, charset, recordSize, format) {
  const characters = new TextEncoder().encode(charset);
  const tokens = new Map([...charset].map((character, index) => [character, index + 1]));
  const first = format.header_size + aligned(characters.length, format);
  const data = new Uint8Array(first + documents.length * recordSize);
  data.set(characters, format.header_size);
  documents.forEach(({ text }, index) => {
    const start = first + index * recordSize;
    let count = 0;
    for (const character of text) data[start + ++count] = Number(tokens.get(character));
    data[start] = count;
  });
  data.set(new TextEncoder().encode(format.magic));
  const crc = crc32(data.subarray(format.header_size));
  const header = new DataView(data.buffer);
  [format.version, documents.length, recordSize, crc, characters.length, tokens.size + 1].forEach(
    (value, index) => header.setUint32(format.magic.length + 4 * index, value, true),
  );
  return data;
}

/** Return a size, rounded up.
 * @param {number} size
 * @param {Format} format */
function aligned(size, { alignment }) {
  return Math.ceil(size / alignment) * alignment;
}

/** @param {string} name
 * @param {Format} format */
function tooLong(name, format) {
  return new Refusal(`${name} has more than ${grouped(format.max_text)} bytes: give a shorter list`);
}
