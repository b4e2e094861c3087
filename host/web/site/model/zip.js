// Read single files of a zip, checked: no more of it is taken into memory than what is asked for.

import { inflateSync } from "fflate";
import { crc32 } from "../data/hashes.js";

/** What the message says is wrong with a file, and what to do; it is shown as it is. */
export class FileError extends Error {}

/** @typedef {object} Entry  a file in a zip
 * @property {string} name
 * @property {number} size  in bytes
 * @property {number} packed  its bytes in the zip
 * @property {number} method  of compression
 * @property {number} crc
 * @property {number} at  where its local header is
 * @property {boolean} locked  encrypted */

const END = { magic: 0x06054b50, size: 22, comment: 0xffff };
const CENTRAL = { magic: 0x02014b50, size: 46, most: 1 << 22 };
const LOCAL = { magic: 0x04034b50, size: 30 };
const STORED = 0;
const DEFLATED = 8;
const ZIP64 = 0xffffffff;

/** Return whether a file begins as a zip does, also an empty one.
 * @param {Blob} blob */
export async function isZip(blob) {
  const start = await bytesOf(blob.slice(0, 4));
  return [LOCAL.magic, END.magic].includes(start.length === 4 ? viewOf(start).getUint32(0, true) : 0);
}

/** Return the files in a zip, without its folders.
 * @param {Blob} blob
 * @param {string} name  of the zip, for messages */
export async function entriesOf(blob, name) {
  const tail = await bytesOf(blob.slice(-END.size - END.comment));
  const view = viewOf(tail);
  let end = tail.length - END.size;
  while (end >= 0 && view.getUint32(end, true) !== END.magic) end--;
  if (end < 0) throw new FileError(`${name} is a zip that ends too early: copy or download it again`);
  const count = view.getUint16(end + 10, true);
  const length = view.getUint32(end + 12, true);
  const start = view.getUint32(end + 16, true);
  if (length === ZIP64 || start === ZIP64 || length > CENTRAL.most) {
    throw new FileError(`${name} has too many files: zip only weights.json and meta.json`);
  }
  const directory = await bytesOf(blob.slice(start, start + length));
  return listed(directory, count, name);
}

/** Return the files that the central directory of a zip lists.
 * @param {Uint8Array} directory
 * @param {number} count
 * @param {string} name
 * @returns {Entry[]} */
function listed(directory, count, name) {
  const view = viewOf(directory);
  const entries = [];
  let at = 0;
  for (let i = 0; i < count; i++) {
    if (at + CENTRAL.size > directory.length || view.getUint32(at, true) !== CENTRAL.magic) {
      throw new FileError(`${name} is a damaged zip: copy or download it again`);
    }
    const [named, extra, comment] = [28, 30, 32].map((offset) => view.getUint16(at + offset, true));
    const text = new TextDecoder().decode(directory.subarray(at + CENTRAL.size, at + CENTRAL.size + named));
    const entry = {
      name: text.replaceAll("\\", "/"),
      locked: (view.getUint16(at + 8, true) & 1) === 1,
      method: view.getUint16(at + 10, true),
      crc: view.getUint32(at + 16, true),
      packed: view.getUint32(at + 20, true),
      size: view.getUint32(at + 24, true),
      at: view.getUint32(at + 42, true),
    };
    if (!entry.name.endsWith("/")) entries.push(entry);
    at += CENTRAL.size + named + extra + comment;
  }
  return entries;
}

/** Return the bytes of a file in a zip, whose size the caller has found acceptable.
 * @param {Blob} blob
 * @param {Entry} entry */
export async function unpacked(blob, entry) {
  const { name, size, packed, method, crc, at, locked } = entry;
  if (locked) throw new FileError(`${name} is encrypted: zip it without a password`);
  if (method !== STORED && method !== DEFLATED) {
    throw new FileError(`${name} is compressed by method ${method}, which is not read here: zip it as usual`);
  }
  const damaged = new FileError(`${name} is damaged in the zip: copy or download the zip again`);
  const local = await bytesOf(blob.slice(at, at + LOCAL.size));
  if (local.length < LOCAL.size || viewOf(local).getUint32(0, true) !== LOCAL.magic) throw damaged;
  const from = at + LOCAL.size + viewOf(local).getUint16(26, true) + viewOf(local).getUint16(28, true);
  // Deflated bytes are at most some more than the file; so a false `packed` cannot take memory.
  if (packed > size + (size >> 3) + 64 || (method === STORED && packed !== size)) throw damaged;
  const content = await bytesOf(blob.slice(from, from + packed));
  if (content.length !== packed) throw damaged;
  let bytes = content;
  if (method === DEFLATED) {
    try {
      bytes = inflateSync(content, { out: new Uint8Array(size) });
    } catch {
      throw damaged;
    }
  }
  if (bytes.length !== size || crc32(bytes) !== crc) throw damaged;
  return bytes;
}

/** Return the bytes of a blob; a FileError if the browser can no longer read them.
 * @param {Blob} blob */
export async function bytesOf(blob) {
  try {
    return new Uint8Array(await blob.arrayBuffer());
  } catch {
    throw new FileError("the file could not be read: it may have been moved; choose it again");
  }
}

/** @param {Uint8Array} bytes */
function viewOf(bytes) {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
}
