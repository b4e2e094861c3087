// The next character: logits, temperature, softmax, and the draw that falls into a part of the row.

import { before, targetOf } from "./losses.js";
import { Picture, inWords, percent, read, sign, tick } from "./picture.js";
import { cumulative, drawn, largest, scaled, softmax } from "./sampling.js";

/** @typedef {import("./picture.js").Inside} Inside
 * @typedef {import("./picture.js").Sheet} Sheet */

const MARGIN = { left: 40, right: 8 };
const SLOT = 9; // pixels for a character, at least
/** From one height to another, in pixels. */
const BANDS = { logits: [26, 118], chances: [156, 266], row: [332, 360] };
const DRAWS = 2 ** 24; // u is one of so many numbers, as the board's
const LABELLED = 11; // pixels of a part of the row

export class Probabilities {
  /** @param {HTMLCanvasElement} canvas
   * @param {HTMLElement} reading
   * @param {{where: HTMLElement, sum: HTMLElement, result: HTMLElement, key: HTMLElement}} texts */
  constructor(canvas, reading, texts) {
    this.texts = texts;
    /** @type {Inside|null} */
    this.inside = null;
    this.chosen = 0;
    this.temperature = 1;
    this.u = Math.random();
    /** @type {number[]} */
    this.shown = [];
    this.picture = new Picture(canvas, (sheet) => this.paint(sheet));
    canvas.addEventListener("pointermove", (event) => {
      const frame = /** @type {HTMLElement} */ (canvas.parentElement);
      read(reading, frame, this.at(canvas, event.offsetX, event.offsetY), event.offsetX, event.offsetY);
    });
    canvas.addEventListener("pointerleave", () => {
      read(reading, /** @type {HTMLElement} */ (canvas.parentElement), "", 0, 0);
    });
  }

  /** @param {Inside} inside
   * @param {number} chosen  the position whose next character is shown */
  show(inside, chosen) {
    this.inside = inside;
    this.chosen = chosen;
    this.draw();
  }

  /** @param {number} temperature */
  heat(temperature) {
    this.temperature = temperature;
    this.draw();
  }

  /** Draw another number; return what it gives, in words. */
  again() {
    this.u = Math.floor(Math.random() * DRAWS) / DRAWS;
    this.draw();
    const facts = this.facts();
    return facts ? `u = ${this.u.toFixed(3)}: ${this.name(facts.token)}` : "";
  }

  /** Return everything that is shown, computed from the logits, the temperature and u. */
  facts() {
    const { inside, chosen, temperature, u } = this;
    if (!inside) return null;
    const size = inside.logits.length / inside.n;
    const logits = inside.logits.subarray(chosen * size, (chosen + 1) * size);
    const chances = softmax(logits, temperature);
    const ends = cumulative(chances);
    return { logits, over: scaled(logits, temperature), chances, ends, token: drawn(chances, u) };
  }

  /** Return the name of a token: a character, or the end.
   * @param {number} token */
  name(token) {
    return inWords(this.labelOf(token), token === 0, "the end");
  }

  /** @type {(token: number) => string} */
  labelOf = () => "";

  draw() {
    this.picture.draw();
    this.write();
  }

  /** Write the same as text, with the figures of the token that is drawn. */
  write() {
    const { inside, chosen, temperature, u, texts } = this;
    const facts = this.facts();
    if (!inside || !facts) return;
    const { logits, over, chances, ends, token } = facts;
    texts.where.textContent = `What comes after ${before(inside, chosen)}?`;
    const name = token === 0 ? "the end" : `“${sign(this.labelOf(token))}”`;
    const rest = chances.length - this.shown.length;
    texts.key.textContent =
      "“·” is the end. Underlined: what comes next in your text." +
      (rest > 0 ? ` Rows 1 and 2 have the ${this.shown.length} likeliest of ${chances.length}.` : "");
    const target = targetOf(inside, chosen);
    const same = token === target.token;
    const wanted = target.isBos ? "ends here" : `goes on with “${sign(target.character)}”`;
    texts.result.textContent = `Drawn: ${name}${same ? ", as in your text" : `. Your text ${wanted}`}.`;
    if (temperature === 0) {
      const most = logits[token].toFixed(2);
      texts.sum.textContent = `At temperature 0 nothing is drawn: the largest logit wins, ${most}.`;
      return;
    }
    const start = token ? ends[token - 1] : 0;
    const [logit, divided] = [logits[token], over[token]].map((value) => value.toFixed(2));
    texts.sum.textContent =
      `For ${name}: ${logit} / ${temperature.toFixed(2)} = ${divided}. e^${divided}, divided by the sum of ` +
      `all such powers, is ${percent(chances[token])}. So its part of row 3 is from ${start.toFixed(3)} to ` +
      `${ends[token].toFixed(3)}, and u = ${u.toFixed(3)} falls into it.`;
  }

  /** @param {Sheet} sheet */
  paint(sheet) {
    const facts = this.facts();
    if (!facts) return "Next character: no text has been looked at";
    const { width } = sheet;
    const most = Math.max(5, Math.floor((width - MARGIN.left - MARGIN.right) / SLOT));
    const { chances, token } = facts;
    this.shown = largest(chances, most);
    if (!this.shown.includes(token)) {
      this.shown = largest(chances, most - 1).concat(token).sort((a, b) => a - b);
    }
    this.paintLogits(sheet, facts.logits, this.temperature ? facts.over : facts.logits, token);
    this.paintChances(sheet, chances, token);
    this.paintRow(sheet, facts.ends, token);
    return this.label(facts);
  }

  /** @param {number} width */
  slot(width) {
    return (width - MARGIN.left - MARGIN.right) / this.shown.length;
  }

  /** @param {Sheet} sheet @param {Float32Array} logits @param {ArrayLike<number>} over
   * @param {number} token */
  paintLogits(sheet, logits, over, token) {
    const { context, width, colour, font } = sheet;
    const [top, bottom] = BANDS.logits;
    const values = this.shown.flatMap((t) => [logits[t], over[t]]);
    const [low, high] = [Math.min(0, ...values), Math.max(0, ...values)];
    const y = (/** @type {number} */ value) => bottom - ((value - low) / (high - low || 1)) * (bottom - top);
    const title = this.temperature === 0 ? "1  logits" : "1  logits (outline) / temperature (filled)";
    heading(sheet, top, title);
    axis(sheet, low, high, y, (value) => String(Number(value.toFixed(6))));
    const slot = this.slot(width);
    this.shown.forEach((t, i) => {
      const x = MARGIN.left + i * slot;
      context.fillStyle = colour(t === token ? "--live" : "--accent");
      bar(context, x, y(0), slot, y(over[t]));
      context.strokeStyle = colour("--ink");
      context.lineWidth = 1;
      const [from, to] = [y(0), y(logits[t])];
      context.strokeRect(x + 1.5, Math.min(from, to), Math.max(1, slot - 3), Math.abs(to - from));
    });
    context.font = font(11);
  }

  /** @param {Sheet} sheet @param {Float64Array} chances @param {number} token */
  paintChances(sheet, chances, token) {
    const { context, width, colour, font } = sheet;
    const [top, bottom] = BANDS.chances;
    const high = Math.max(...chances);
    const y = (/** @type {number} */ value) => bottom - (value / high) * (bottom - top);
    heading(sheet, top, "2  softmax: the chance of each character");
    axis(sheet, 0, high, y, (value) => `${Number((100 * value).toFixed(4))}%`);
    const slot = this.slot(width);
    const target = this.inside ? targetOf(this.inside, this.chosen).token : -1;
    context.textAlign = "center";
    context.textBaseline = "alphabetic";
    this.shown.forEach((t, i) => {
      const x = MARGIN.left + i * slot;
      context.fillStyle = colour(t === token ? "--live" : "--accent");
      bar(context, x, bottom, slot, y(chances[t]));
      context.font = font(t ? Math.min(14, 1.1 * slot) : 18, [0, token, target].includes(t) ? 700 : 400);
      context.fillStyle = colour(t === token ? "--live" : t === target ? "--accent" : "--ink");
      context.fillText(sign(this.labelOf(t)), x + slot / 2, bottom + 15);
      if (t === target) context.fillRect(x + 1, bottom + 20, slot - 2, 2);
    });
  }

  /** @param {Sheet} sheet @param {Float64Array} ends @param {number} token */
  paintRow(sheet, ends, token) {
    const { context, width, colour, font } = sheet;
    const [top, bottom] = BANDS.row;
    const length = width - MARGIN.left - MARGIN.right;
    const x = (/** @type {number} */ share) => MARGIN.left + share * length;
    heading(sheet, top, "3  the chances end to end, and the draw u", 26);
    let odd = false;
    ends.forEach((end, t) => {
      const start = t ? ends[t - 1] : 0;
      const [left, wide] = [x(start), (end - start) * length];
      if (wide <= 0) return;
      odd = !odd;
      context.globalAlpha = t === token ? 1 : odd ? 0.34 : 0.16;
      context.fillStyle = colour(t === token ? "--live" : "--accent");
      context.fillRect(left, top, wide, bottom - top);
      context.globalAlpha = 1;
      if (wide < LABELLED) return;
      context.font = font(13, t === token ? 700 : 400);
      context.fillStyle = colour(t === token ? "--card" : "--ink");
      context.textAlign = "center";
      context.textBaseline = "middle";
      context.fillText(sign(this.labelOf(t)), left + wide / 2, (top + bottom) / 2);
    });
    context.font = font(11);
    context.fillStyle = colour("--quiet");
    context.textBaseline = "top";
    for (const share of [0, 0.25, 0.5, 0.75, 1]) {
      context.textAlign = share === 0 ? "left" : share === 1 ? "right" : "center";
      context.fillText(String(share), x(share), bottom + 5);
    }
    if (this.temperature === 0) return;
    const at = x(this.u);
    context.fillStyle = context.strokeStyle = colour("--ink");
    context.lineWidth = 2;
    context.beginPath();
    context.moveTo(at, top - 6);
    context.lineTo(at, bottom + 3);
    context.stroke();
    context.beginPath();
    context.moveTo(at - 5, top - 10);
    context.lineTo(at + 5, top - 10);
    context.lineTo(at, top - 2);
    context.fill();
    context.font = font(12, 600);
    context.textBaseline = "alphabetic";
    context.textAlign = this.u < 0.5 ? "left" : "right";
    context.fillText(`u = ${this.u.toFixed(3)}`, at + (this.u < 0.5 ? 9 : -9), top - 4);
  }

  /** Return what is at a point, in words.
   * @param {HTMLCanvasElement} canvas @param {number} x @param {number} y */
  at(canvas, x, y) {
    const facts = this.facts();
    if (!facts) return "";
    const share = (x - MARGIN.left) / (canvas.clientWidth - MARGIN.left - MARGIN.right);
    if (share < 0 || share >= 1) return "";
    const { chances, ends, logits } = facts;
    const inRow = y > BANDS.row[0] - 20;
    const token = inRow ? drawn(chances, share) : this.shown[Math.floor(share * this.shown.length)];
    const start = token ? ends[token - 1] : 0;
    return (
      `${this.name(token)}: logit ${logits[token].toFixed(2)}, chance ${percent(chances[token])}, ` +
      `${start.toFixed(3)} to ${ends[token].toFixed(3)}`
    );
  }

  /** @param {NonNullable<ReturnType<Probabilities["facts"]>>} facts */
  label({ chances, token }) {
    const { inside, chosen, temperature, u } = this;
    const order = largest(chances, 3).sort((a, b) => chances[b] - chances[a]);
    const said = order.map((t) => `${this.name(t)} ${percent(chances[t])}`).join(", ");
    const draw = temperature === 0 ? "the likeliest is taken" : `u = ${u.toFixed(3)} draws`;
    const where = inside ? before(inside, chosen) : "";
    return (
      `Next character after ${where}, temperature ${temperature.toFixed(2)}, in three rows: ` +
      `logits, chances and cumulative chances of each character. The likeliest: ${said}; ` +
      `${draw}: ${this.name(token)}`
    );
  }
}

/** Draw a title above a band.
 * @param {Sheet} sheet @param {number} top @param {string} text @param {number} [up] */
function heading({ context, colour, font }, top, text, up = 10) {
  context.font = font(12, 600);
  context.fillStyle = colour("--ink");
  context.textAlign = "left";
  context.textBaseline = "alphabetic";
  context.fillText(text, 2, top - up);
}

/** Draw the lines of an axis with their values.
 * @param {Sheet} sheet @param {number} low @param {number} high
 * @param {(value: number) => number} y @param {(value: number) => string} text */
function axis({ context, width, colour, font }, low, high, y, text) {
  const unit = tick(high - low || 1, 3);
  context.font = font(11);
  context.textAlign = "right";
  context.textBaseline = "middle";
  context.strokeStyle = colour("--line");
  context.fillStyle = colour("--quiet");
  context.lineWidth = 1;
  for (let i = Math.ceil(low / unit - 1e-9); i * unit <= high * (1 + 1e-9); i++) {
    const at = Math.round(y(i * unit)) + 0.5;
    context.beginPath();
    context.moveTo(MARGIN.left, at);
    context.lineTo(width - MARGIN.right, at);
    context.stroke();
    context.fillText(text(i * unit), MARGIN.left - 6, at);
  }
}

/** @param {CanvasRenderingContext2D} context @param {number} x @param {number} from
 * @param {number} slot @param {number} to */
function bar(context, x, from, slot, to) {
  context.fillRect(x + 1, Math.min(from, to), Math.max(1, slot - 2), Math.abs(to - from));
}
