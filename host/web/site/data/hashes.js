// CRC-32 and SHA-256 of bytes. `crypto.subtle` is missing where a page comes over plain HTTP, as in a school.

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

const BLOCK = 64; // bytes
const LENGTH = 8; // bytes of the message's length in bits, at its end
const PRIMES = firstPrimes(BLOCK);
const START = Uint32Array.from(PRIMES.slice(0, 8), (prime) => fraction(Math.sqrt(prime)));
const ROUND = Uint32Array.from(PRIMES, (prime) => fraction(Math.cbrt(prime)));

/** Return the SHA-256 of some bytes, in hexadecimal (FIPS 180-4, 6.2).
 * @param {Uint8Array} data
 * @returns {string} */
export function sha256(data) {
  const state = START.slice();
  const words = new Uint32Array(BLOCK);
  const whole = data.length - (data.length % BLOCK);
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  for (let i = 0; i < whole; i += BLOCK) compress(state, view, i, words);
  const left = data.length - whole;
  const end = new Uint8Array(left + 1 + LENGTH <= BLOCK ? BLOCK : 2 * BLOCK);
  end.set(data.subarray(whole));
  end[left] = 0x80;
  const last = new DataView(end.buffer);
  last.setBigUint64(end.length - LENGTH, BigInt(data.length) * 8n);
  for (let i = 0; i < end.length; i += BLOCK) compress(state, last, i, words);
  return [...state].map((word) => word.toString(16).padStart(8, "0")).join("");
}

/** Change `state` by the block at `offset`; `w` is working memory.
 * @param {Uint32Array} state
 * @param {DataView} view
 * @param {number} offset
 * @param {Uint32Array} w */
function compress(state, view, offset, w) {
  for (let i = 0; i < 16; i++) w[i] = view.getUint32(offset + 4 * i);
  for (let i = 16; i < BLOCK; i++) {
    const [x, y] = [w[i - 15], w[i - 2]];
    const s0 = turn(x, 7) ^ turn(x, 18) ^ (x >>> 3);
    const s1 = turn(y, 17) ^ turn(y, 19) ^ (y >>> 10);
    w[i] = w[i - 16] + s0 + w[i - 7] + s1;
  }
  let [a, b, c, d, e, f, g, h] = state;
  for (let i = 0; i < BLOCK; i++) {
    const s1 = turn(e, 6) ^ turn(e, 11) ^ turn(e, 25);
    const first = (h + s1 + ((e & f) ^ (~e & g)) + ROUND[i] + w[i]) | 0;
    const s0 = turn(a, 2) ^ turn(a, 13) ^ turn(a, 22);
    const second = (s0 + ((a & b) ^ (a & c) ^ (b & c))) | 0;
    [h, g, f, e, d, c, b, a] = [g, f, e, (d + first) | 0, c, b, a, (first + second) | 0];
  }
  [a, b, c, d, e, f, g, h].forEach((word, i) => (state[i] += word));
}

/** Return a word turned right by some bits.
 * @param {number} word
 * @param {number} bits
 * @returns {number} */
function turn(word, bits) {
  return (word >>> bits) | (word << (32 - bits));
}

/** Return the first 32 bits of the part after the point.
 * @param {number} value
 * @returns {number} */
function fraction(value) {
  return Math.floor((value % 1) * 2 ** 32);
}

/** Return the first `count` primes.
 * @param {number} count
 * @returns {number[]} */
function firstPrimes(count) {
  /** @type {number[]} */
  const primes = [];
  for (let n = 2; primes.length < count; n++) if (primes.every((prime) => n % prime)) primes.push(n);
  return primes;
}
