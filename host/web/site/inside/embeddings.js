// The embedding of each token in two dimensions: their first two principal components.

import { Picture, inWords, percent, read, sign, tick } from "./picture.js";
import { project } from "./pca.js";

/** @typedef {import("./picture.js").Inside} Inside
 * @typedef {import("./picture.js").Sheet} Sheet */

const MARGIN = { left: 46, right: 12, top: 10, bottom: 40 };
const REACH = 14; // pixels from the pointer to a character that it reads
const CLOSEST = 3; // pairs that the picture in words names
const ROOM = 1.08; // how far the axes reach beyond the last point
const SPACE = 15; // pixels from the middle of a character to the next one's, at least
const ROUNDS = 60; // in which characters move apart
const LED = 4; // pixels from its point at which a character has a line to it
const SHRINK = 0.7; // of the axes, what the points must leave empty before these become shorter

export class Embeddings {
  /** @param {HTMLCanvasElement} canvas
   * @param {HTMLElement} reading */
  constructor(canvas, reading) {
    /** @type {import("./pca.js").Projection|null} */
    this.projection = null;
    this.reach = 0;
    this.rows = 0;
    /** @type {number[][]} */
    this.labels = []; // where the characters stand, in pixels
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
    const spots = points.map(([first, second]) => [x(first), y(second)]);
    this.labels = apart(spots, [MARGIN.left + 7, MARGIN.top + 8, right - 7, bottom - 8]);
    this.lead(sheet, spots);
    const tokens = points.map((_, token) => token);
    for (const token of tokens.sort((a, b) => Number(this.marked.has(a)) - Number(this.marked.has(b)))) {
      const mine = this.marked.has(token);
      context.font = token ? font(mine ? 16 : 14, mine ? 700 : 400) : font(28, 700);
      context.fillStyle = colour(mine ? "--live" : "--ink");
      const [across, down] = this.labels[token];
      context.fillText(sign(this.labelOf(token)), across, down);
    }
    return this.label();
  }

  /** Draw a dot at the point of each character that stands beside it, and a line between them.
   * @param {Sheet} sheet
   * @param {number[][]} spots  the points, in pixels */
  lead({ context, colour }, spots) {
    for (const [token, [px, py]] of spots.entries()) {
      const [lx, ly] = this.labels[token];
      if (Math.hypot(lx - px, ly - py) < LED) continue;
      context.strokeStyle = context.fillStyle = colour(this.marked.has(token) ? "--live" : "--quiet");
      context.globalAlpha = 0.55;
      context.beginPath();
      context.moveTo(px, py);
      context.lineTo(lx, ly);
      context.stroke();
      context.globalAlpha = 1;
      context.beginPath();
      context.arc(px, py, 1.6, 0, 2 * Math.PI);
      context.fill();
    }
  }

  /** Return the characters near a point, in words.
   * @param {HTMLCanvasElement} canvas @param {number} px @param {number} py */
  at(canvas, px, py) {
    if (!this.projection) return "";
    const { points } = this.projection;
    const { x, y } = this.places(canvas.clientWidth, canvas.clientHeight);
    const away = (/** @type {number} */ t) => {
      const [lx, ly] = this.labels[t] ?? [Infinity, Infinity];
      return Math.min(Math.hypot(x(points[t][0]) - px, y(points[t][1]) - py), Math.hypot(lx - px, ly - py));
    };
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

/** Return where characters stand that would cover each other at their points: as near as there is room.
 * @param {number[][]} spots  in pixels
 * @param {number[]} box  left, top, right, bottom: they stay in it */
export function apart(spots, [left, top, right, bottom]) {
  const places = spots.map(([x, y]) => [x, y]);
  for (let round = 0, moved = true; moved && round < ROUNDS; round++) {
    moved = false;
    for (let a = 1; a < places.length; a++) {
      for (let b = 0; b < a; b++) {
        let [dx, dy] = [places[a][0] - places[b][0], places[a][1] - places[b][1]];
        if (dx * dx + dy * dy >= SPACE * SPACE) continue;
        if (!dx && !dy) [dx, dy] = [Math.cos(a), Math.sin(a)]; // any direction, always the same
        const away = Math.hypot(dx, dy);
        const push = (SPACE + 0.1 - away) / 2 / away;
        places[a] = [places[a][0] + push * dx, places[a][1] + push * dy];
        places[b] = [places[b][0] - push * dx, places[b][1] - push * dy];
        moved = true;
      }
    }
    for (const place of places) {
      place[0] = Math.min(Math.max(place[0], left), right);
      place[1] = Math.min(Math.max(place[1], top), bottom);
    }
  }
  return places;
}
