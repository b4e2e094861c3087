// Text as Python's str has it: code points, lines, blanks and normal forms, for the same names.bin.
//
// Normal forms and letters are those of the browser's version of Unicode; of a character that is newer than
// the version in Python they can differ.

const BLANKS = // str.isspace
  "\t\n\v\f\r\x1c\x1d\x1e\x1f \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009" +
  "\u200a\u2028\u2029\u202f\u205f\u3000";
const LINE_ENDS = "\n\v\f\r\x1c\x1d\x1e\x85\u2028\u2029"; // str.splitlines, and "\r\n" as one
const LINE_END = new RegExp(`\r\n|[${LINE_ENDS}]`);
const LETTER = /\p{L}/gu; // str.isalpha

/** Return the lines of a text; the end of the last one can be missing.
 * @param {string} text
 * @returns {string[]} */
export function splitLines(text) {
  const lines = text.split(LINE_END);
  if (lines.at(-1) === "") lines.pop();
  return lines;
}

/** Return a text without the blanks at its ends. `trim` has other blanks.
 * @param {string} text
 * @returns {string} */
export function strip(text) {
  let [start, end] = [0, text.length];
  while (start < end && BLANKS.includes(text[start])) start++;
  while (start < end && BLANKS.includes(text[end - 1])) end--;
  return text.slice(start, end);
}

/** Return the number of code points.
 * @param {string} text
 * @returns {number} */
export function length(text) {
  let count = 0;
  for (let i = 0; i < text.length; i += isPair(text, i) ? 2 : 1) count++;
  return count;
}

/** Return the first `count` code points.
 * @param {string} text
 * @param {number} count
 * @returns {string} */
export function beginning(text, count) {
  if (text.length <= count) return text;
  let end = 0;
  for (; count > 0 && end < text.length; count--) end += isPair(text, end) ? 2 : 1;
  return text.slice(0, end);
}

/** Return a line in a normal form; a line of more than `piece` code points, piece by piece.
 * @param {"NFC"|"NFKD"} form
 * @param {string} line
 * @param {number} piece
 * @returns {string} */
export function normal(form, line, piece) {
  let normalized = "";
  while (line.length > piece) {
    const part = beginning(line, piece);
    normalized += part.normalize(form);
    line = line.slice(part.length);
  }
  return normalized + line.normalize(form);
}

/** Return the number of letters of any script.
 * @param {string} text
 * @returns {number} */
export function letters(text) {
  return text.match(LETTER)?.length ?? 0;
}

/** Compare two characters by their code points.
 * @param {string} a
 * @param {string} b
 * @returns {number} */
export function byCodePoint(a, b) {
  return Number(a.codePointAt(0)) - Number(b.codePointAt(0));
}

/** Return a character as Python's `ascii` writes it: '\xe9'.
 * @param {string} character
 * @returns {string} */
export function ascii(character) {
  const code = Number(character.codePointAt(0));
  if (character === "'") return `"'"`;
  if (character === "\\") return "'\\\\'";
  if (code >= 0x20 && code < 0x7f) return `'${character}'`;
  const hex = code.toString(16);
  if (code < 0x100) return `'\\x${hex.padStart(2, "0")}'`;
  return code < 0x10000 ? `'\\u${hex.padStart(4, "0")}'` : `'\\U${hex.padStart(8, "0")}'`;
}

/** Return whether a code point of two units begins at `i`.
 * @param {string} text
 * @param {number} i
 * @returns {boolean} */
function isPair(text, i) {
  return Number(text.codePointAt(i)) > 0xffff;
}
