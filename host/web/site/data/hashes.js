// CRC-32 and SHA-256 of bytes. `crypto.subtle` is missing where a page comes over plain HTTP, as in a school.

import { sha256 as digest } from "@noble/hashes/sha2.js";
import { bytesToHex } from "@noble/hashes/utils.js";

/** Return the SHA-256 of some bytes, in hexadecimal.
 * @param {Uint8Array} data
 * @returns {string} */
export function sha256(data) {
  return bytesToHex(digest(data));
}

const CRC = Uint32Array.from({ length: 256 }, (_, byte) => {
  let value = byte;
  for (let bit = 0; bit < 8; bit++) value = value & 1 ? (value >>> 1) ^ 0xedb88320 : value >>> 1;
  return value;
});

/** Return the CRC-32 of some bytes.
 * @param {Uint8Array} data
 * @returns {number} */
export function crc32(data) {
  let crc = 0xffffffff;
  for (const byte of data) crc = (crc >>> 8) ^ CRC[(crc ^ byte) & 0xff];
  return ~crc >>> 0;
}
