// The MD5 of what was written: a board can compute it over its flash, SHA-256 it cannot (RFC 1321).

const BLOCK = 64; // bytes
const TURNS = [
  [7, 12, 17, 22],
  [5, 9, 14, 20],
  [4, 11, 16, 23],
  [6, 10, 15, 21],
];
const CONSTANTS = Uint32Array.from({ length: BLOCK }, (_, i) => Math.abs(Math.sin(i + 1)) * 2 ** 32);

/** Return the MD5 of some bytes, in hexadecimal.
 * @param {Uint8Array} data
 * @returns {string} */
export function md5(data) {
  const padded = new Uint8Array(Math.ceil((data.length + 9) / BLOCK) * BLOCK);
  padded.set(data);
  padded[data.length] = 0x80;
  const view = new DataView(padded.buffer);
  view.setBigUint64(padded.length - 8, BigInt(data.length) * 8n, true);
  const state = Uint32Array.of(0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476);
  const words = new Uint32Array(16);
  for (let start = 0; start < padded.length; start += BLOCK) {
    for (let i = 0; i < 16; i++) words[i] = view.getUint32(start + 4 * i, true);
    compress(state, words);
  }
  return [...new Uint8Array(state.buffer)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** Change the state by a block.
 * @param {Uint32Array} state
 * @param {Uint32Array} words */
function compress(state, words) {
  let [a, b, c, d] = state;
  for (let i = 0; i < BLOCK; i++) {
    const round = i >> 4;
    let [mixed, word] = [c ^ (b | ~d), 7 * i];
    if (round === 0) [mixed, word] = [(b & c) | (~b & d), i];
    else if (round === 1) [mixed, word] = [(d & b) | (~d & c), 5 * i + 1];
    else if (round === 2) [mixed, word] = [b ^ c ^ d, 3 * i + 5];
    const sum = (a + mixed + CONSTANTS[i] + words[word & 15]) | 0;
    const turn = TURNS[round][i & 3];
    [a, d, c, b] = [d, c, b, (b + ((sum << turn) | (sum >>> (32 - turn)))) | 0];
  }
  [a, b, c, d].forEach((value, i) => (state[i] += value));
}
