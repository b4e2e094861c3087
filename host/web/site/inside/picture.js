// What the pictures share: a canvas that is drawn anew when its size or the theme changes, and labels.

/** @typedef {import("../board/virtual_board.js").Inside} Inside
 * @typedef {object} Sheet  what a picture is drawn on
 * @property {CanvasRenderingContext2D} context
 * @property {number} width
 * @property {number} height
 * @property {(name: string) => string} colour  of the theme, by its custom property
 * @property {(size: number, weight?: number) => string} font */

/** A canvas and the function that draws it. */
export class Picture {
  /** @param {HTMLCanvasElement} canvas
   * @param {(sheet: Sheet) => string} paint  draws, and returns the picture in words */
  constructor(canvas, paint) {
    this.canvas = canvas;
    this.paint = paint;
    canvas.setAttribute("role", "img");
    const draw = () => this.draw();
    this.observer = new ResizeObserver(draw);
    this.observer.observe(canvas);
    document.addEventListener("themechange", draw);
    this.forget = () => {
      this.observer.disconnect();
      document.removeEventListener("themechange", draw);
    };
  }

  draw() {
    const { canvas } = this;
    const { clientWidth: width, clientHeight: height } = canvas;
    const context = canvas.getContext("2d");
    if (!width || !height || !context) return; // not shown
    const [wide, high] = [width, height].map((side) => Math.round(side * devicePixelRatio));
    if (canvas.width !== wide || canvas.height !== high) [canvas.width, canvas.height] = [wide, high];
    context.setTransform(devicePixelRatio, 0, 0, devicePixelRatio, 0, 0);
    context.clearRect(0, 0, width, height);
    const style = getComputedStyle(document.documentElement);
    const family = getComputedStyle(canvas).fontFamily;
    const label = this.paint({
      context,
      width,
      height,
      colour: (name) => style.getPropertyValue(name),
      font: (size, weight = 400) => `${weight} ${size}px ${family}`,
    });
    canvas.setAttribute("aria-label", label);
  }
}

/** Return the element for the values at the pointer, placed beside it; hidden without a text.
 * @param {HTMLElement} reading
 * @param {HTMLElement} picture
 * @param {string} text
 * @param {number} x
 * @param {number} y */
export function read(reading, picture, text, x, y) {
  reading.hidden = !text;
  reading.textContent = text;
  const left = x < picture.clientWidth / 2;
  reading.style.left = left ? `${x + 14}px` : "auto";
  reading.style.right = left ? "auto" : `${picture.clientWidth - x + 14}px`;
  reading.style.top = `${Math.max(0, y - 12)}px`;
}

/** Return a character as it is drawn: one that would be invisible has a sign.
 * @param {string} character */
export function sign(character) {
  if (character === " ") return "␣";
  return /^[\p{Cc}\p{Cf}\p{Zs}\p{Zl}\p{Zp}]$/u.test(character) ? "□" : character;
}

/** Return a character in words: BOS is the start of a document, or its end.
 * @param {string} character
 * @param {boolean} isBos
 * @param {string} bos  "start" or "end" */
export function inWords(character, isBos, bos) {
  if (isBos) return bos;
  if (character === " ") return "space";
  const plain = sign(character) === character;
  return plain ? character : `character ${character.codePointAt(0)?.toString(16).padStart(4, "0")}`;
}

/** Return a share as a percentage with two figures.
 * @param {number} share */
export function percent(share) {
  const value = 100 * share;
  if (value > 0 && value < 0.1) return "< 0.1 %";
  return `${value >= 9.95 || value === 0 ? value.toFixed(0) : value.toFixed(1)} %`;
}

/** Return the distance between at most `most` ticks of an axis: 1, 2 or 5 times a power of ten.
 * @param {number} length
 * @param {number} most */
export function tick(length, most) {
  const power = 10 ** Math.floor(Math.log10(length / most));
  return [1, 2, 5].map((factor) => factor * power).find((unit) => length / unit <= most) ?? 10 * power;
}
