// The embedding of each token in two dimensions: their first two principal components.

import { Picture, inWords, percent, read, sign, tick } from "./picture.js";
import { project } from "./pca.js";

/** @typedef {import("./picture.js").Inside} Inside
 * @typedef {import("./picture.js").Sheet} Sheet */

const MARGIN = { left: 46, right: 12, top: 10, bottom: 40 };
const REACH = 14; // pixels from the pointer to a character that it reads
const CLOSEST = 3; // pairs that the picture in words names
const ROOM = 1.08; // how far the axes reach beyond the last point
const SHRINK = 0.7; // of the axes, what the points must leave empty before these become shorter

export class Embeddings {
  /** @param {HTMLCanvasElement} canvas
   * @param {HTMLElement} reading */
  constructor(canvas, reading) {
    /** @type {import("./pca.js").Projection|null} */
    this.projection = null;
    this.reach = 0;
    this.rows = 0;
    /** @type {Set<number>} */
    this.marked = new Set();
    this.picture = new Picture(canvas, (sheet) => this.paint(sheet));
    const frame = /** @type {HTMLElement} */ (canvas.parentElement);
    canvas.addEventListener("pointermove", ({ offsetX, offsetY }) => {
      read(reading, frame, this.at(canvas, offsetX, offsetY), offsetX, offsetY);
    });
    canvas.addEventListener("pointerleave", () => read(reading, frame, "", 0, 0));
  }

  /** @type {(token: number) => string} */
  labelOf = () => "";

  /** Forget the axes: another model's are not compared with them. */
  forget() {
    this.projection = null;
    this.reach = 0;
  }

  /** @param {Inside} inside
   * @param {number} vocabSize */
  show({ embeddings, tokens }, vocabSize) {
    const before = this.rows === vocabSize ? this.projection : null;
    this.rows = vocabSize;
    this.projection = project(embeddings, vocabSize, embeddings.length / vocabSize, before);
    this.marked = new Set(tokens);
    const far = ROOM * Math.max(...this.projection.points.flat().map(Math.abs));
    if (far > this.reach || far < SHRINK * this.reach) this.reach = far || 1;
    this.picture.draw();
  }

  /** @param {number} width @param {number} height */
  places(width, height) {
    const [across, down] = [width - MARGIN.left - MARGIN.right, height - MARGIN.top - MARGIN.bottom];
    const unit = Math.min(across, down) / 2 / this.reach; // the same on both axes
    const [x0, y0] = [MARGIN.left + across / 2, MARGIN.top + down / 2];
    return {
      x: (/** @type {number} */ value) => x0 + value * unit,
      y: (/** @type {number} */ value) => y0 - value * unit,
      half: [across / 2 / unit, down / 2 / unit],
    };
  }

  /** @param {Sheet} sheet */
  paint(sheet) {
    const { context, width, height, colour, font } = sheet;
    if (!this.projection) return "Embeddings: no model has been looked at";
    const { points } = this.projection;
    const { x, y, half } = this.places(width, height);
    const [right, bottom] = [width - MARGIN.right, height - MARGIN.bottom];
    const unit = tick(2 * Math.min(...half), 5);
    const digits = Math.max(0, Math.ceil(-Math.log10(unit) - 1e-9));
    context.font = font(11);
    context.lineWidth = 1;
    context.strokeStyle = colour("--line");
    context.fillStyle = colour("--quiet");
    for (const [axis, end] of half.entries()) {
      const most = Math.floor(end / unit);
      for (let i = -most; i <= most; i++) {
        const at = Math.round(axis ? y(i * unit) : x(i * unit)) + 0.5;
        context.globalAlpha = i ? 0.6 : 1;
        context.beginPath();
        if (axis) context.rect(MARGIN.left, at, right - MARGIN.left, 0);
        else context.rect(at, MARGIN.top, 0, bottom - MARGIN.top);
        context.stroke();
        context.globalAlpha = 1;
        context.textAlign = axis ? "right" : "center";
        context.textBaseline = axis ? "middle" : "top";
        const text = (i * unit).toFixed(digits);
        if (axis) context.fillText(text, MARGIN.left - 6, at);
        else context.fillText(text, at, bottom + 6);
      }
    }
    context.textAlign = "center";
    context.textBaseline = "alphabetic";
    const [first, second] = this.axes();
    context.fillText(first, (MARGIN.left + right) / 2, height - 6);
    context.save();
    context.translate(12, (MARGIN.top + bottom) / 2);
    context.rotate(-Math.PI / 2);
    context.fillText(second, 0, 0);
    context.restore();
    context.textBaseline = "middle";
    const tokens = points.map((_, token) => token);
    for (const token of tokens.sort((a, b) => Number(this.marked.has(a)) - Number(this.marked.has(b)))) {
      const mine = this.marked.has(token);
      context.font = token ? font(mine ? 16 : 14, mine ? 700 : 400) : font(28, 700);
      context.fillStyle = colour(mine ? "--live" : "--ink");
      context.fillText(sign(this.labelOf(token)), x(points[token][0]), y(points[token][1]));
    }
    return this.label();
  }

  /** Return the characters near a point, in words.
   * @param {HTMLCanvasElement} canvas @param {number} px @param {number} py */
  at(canvas, px, py) {
    if (!this.projection) return "";
    const { points } = this.projection;
    const { x, y } = this.places(canvas.clientWidth, canvas.clientHeight);
    const away = (/** @type {number} */ t) => Math.hypot(x(points[t][0]) - px, y(points[t][1]) - py);
    const near = points.map((_, token) => token).filter((token) => away(token) < REACH);
    return near
      .sort((a, b) => away(a) - away(b))
      .slice(0, 4)
      .map((token) => `${this.name(token)}: ${points[token].map((value) => value.toFixed(2)).join(", ")}`)
      .join("\n");
  }

  /** @param {number} token */
  name(token) {
    return inWords(this.labelOf(token), token === 0, "start and end");
  }

  /** Return the titles of the two axes; the first component is the one with the larger share. */
  axes() {
    const shares = this.projection?.shares ?? [0, 0];
    const across = shares[0] >= shares[1] ? 1 : 2;
    return shares.map((share, axis) => {
      return `component ${axis ? 3 - across : across}: ${percent(share)} of the variance`;
    });
  }

  label() {
    if (!this.projection) return "";
    const { points } = this.projection;
    /** @type {[number, number, number][]} */
    const close = [];
    points.forEach(([x, y], a) => {
      for (let b = 0; b < a; b++) {
        const away = Math.hypot(x - points[b][0], y - points[b][1]);
        if (close.length === CLOSEST && away >= close[CLOSEST - 1][0]) continue;
        close.push([away, b, a]);
        close.sort((one, other) => one[0] - other[0]).splice(CLOSEST);
      }
    });
    const [across, up] = this.axes();
    return (
      `The embeddings of ${points.length} tokens, across by ${across}, up by ${up}. Closest to each other: ` +
      close.map(([, a, b]) => `${this.name(a)} and ${this.name(b)}`).join("; ")
    );
  }
}
