// Draw loss curves on a canvas: losses thin, their mean thick, and the values at the pointer.

import { grouped } from "./text.js";

const MARGIN = { left: 40, right: 14, top: 12, bottom: 26 };
const TICKS = 5; // at most, and one at the end of the steps
const GAP = 12; // pixels between the labels of two steps
const DENSE = 400; // points in a curve above which they are drawn fainter

/** A loss curve; its steps ascend. `colour` is the name of a custom property; `live`: it still grows, to
 * `steps` if that is known.
 * @typedef {{step: number, loss: number, mean: number}} Point
 * @typedef {{name: string, colour: string, points: Point[], live: boolean, steps?: number}} Curve
 * @typedef {ReturnType<Chart["axes"]>} Axes
 */

export class Chart {
  /** @param {HTMLCanvasElement} canvas
   * @param {HTMLElement} reading the element for the values at the pointer */
  constructor(canvas, reading) {
    this.canvas = canvas;
    this.reading = reading;
    /** @type {Curve[]} */
    this.curves = [];
    /** @type {number | null} */
    this.pointer = null;
    new ResizeObserver(() => this.draw()).observe(canvas);
    canvas.addEventListener("pointermove", (event) => this.point(event.offsetX));
    canvas.addEventListener("pointerdown", (event) => this.point(event.offsetX));
    canvas.addEventListener("pointerleave", () => this.point(null));
  }

  /** Show the values at a pixel, none for null.
   * @param {number | null} x */
  point(x) {
    this.pointer = x;
    this.draw();
  }

  /** Draw curves, each with at least one point. */
  draw(curves = this.curves) {
    this.curves = curves;
    const { canvas } = this;
    const style = getComputedStyle(document.documentElement);
    /** @param {string} name */
    const colour = (name) => style.getPropertyValue(name);
    const scale = devicePixelRatio;
    const { clientWidth: width, clientHeight: height } = canvas;
    canvas.width = width * scale;
    canvas.height = height * scale;
    const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
    context.scale(scale, scale);
    context.font = `12px ${getComputedStyle(canvas).fontFamily}`;
    const axes = this.axes(width, height);
    this.drawAxes(context, axes, colour("--line"), colour("--quiet"));
    for (const curve of curves) {
      context.strokeStyle = context.fillStyle = colour(curve.colour);
      this.drawCurve(context, axes, curve);
    }
    this.read(context, axes, colour);
    canvas.setAttribute("aria-label", this.inWords());
  }

  /** Return the ranges of the axes, and functions from a step and a loss to a pixel.
   * @param {number} width
   * @param {number} height */
  axes(width, height) {
    let steps = 1;
    let low = Infinity;
    let high = -Infinity;
    for (const { points, steps: whole = 0 } of this.curves) {
      steps = Math.max(steps, last(points).step + 1, whole);
      for (const { loss, mean } of points) {
        low = Math.min(low, mean);
        // The range covers the means and most losses, not those of a few hard documents.
        high = Math.max(high, mean, Math.min(loss, mean * 1.25));
        low = Math.min(low, Math.max(loss, mean * 0.75));
      }
    }
    if (low > high) [low, high] = [0, 4];
    const unit = tick(high - low || 1, TICKS);
    low = Math.max(0, Math.floor(low / unit) * unit);
    high = Math.max(Math.ceil(high / unit) * unit, low + unit);
    const right = width - MARGIN.right;
    const bottom = height - MARGIN.bottom;
    /** @param {number} step */
    const x = (step) => MARGIN.left + (step / steps) * (right - MARGIN.left);
    /** @param {number} loss */
    const y = (loss) => bottom - ((loss - low) / (high - low)) * (bottom - MARGIN.top);
    /** @param {number} px */
    const stepAt = (px) => ((px - MARGIN.left) / (right - MARGIN.left)) * steps;
    return { steps, low, high, unit, right, bottom, x, y, stepAt };
  }

  /** @param {CanvasRenderingContext2D} context
   * @param {Axes} axes
   * @param {string} line
   * @param {string} ink */
  drawAxes(context, axes, line, ink) {
    context.lineWidth = 1;
    context.strokeStyle = line;
    context.fillStyle = ink;
    context.textBaseline = "middle";
    context.textAlign = "right";
    const digits = Math.max(0, Math.ceil(-Math.log10(axes.unit) - 1e-9));
    for (let i = 0; axes.low + i * axes.unit <= axes.high + axes.unit / 2; i++) {
      const loss = axes.low + i * axes.unit;
      const y = Math.round(axes.y(loss)) + 0.5;
      segment(context, MARGIN.left, y, axes.right, y);
      context.fillText(loss.toFixed(digits), MARGIN.left - 8, y);
    }
    context.textBaseline = "top";
    /** @param {number} step */
    const text = (step) => grouped(step);
    /** @param {number} step */
    const width = (step) => context.measureText(text(step)).width;
    /** @param {number} step
     * @param {CanvasTextAlign} align
     * @param {number} x */
    const label = (step, align, x) => {
      context.textAlign = align;
      context.fillText(text(step), x, axes.bottom + 8);
    };
    const widest = width(axes.steps);
    const edge = axes.right + Math.min(widest / 2, MARGIN.right);
    label(0, "left", MARGIN.left);
    label(axes.steps, "right", edge);
    const most = Math.floor((axes.right - MARGIN.left) / (widest + GAP));
    const unit = Math.max(1, tick(axes.steps, Math.max(1, Math.min(TICKS, most))));
    for (let step = unit; step < axes.steps; step += unit) {
      const x = axes.x(step);
      if (x + width(step) / 2 + GAP <= edge - widest) label(step, "center", x);
    }
  }

  /** @param {CanvasRenderingContext2D} context
   * @param {Axes} axes
   * @param {Curve} curve */
  drawCurve(context, axes, { points, live }) {
    context.save();
    context.beginPath();
    context.rect(MARGIN.left, MARGIN.top - 6, axes.right - MARGIN.left + 8, axes.bottom - MARGIN.top + 8);
    context.clip();
    context.lineJoin = "round";
    context.globalAlpha = points.length > DENSE ? 0.08 : 0.2;
    context.lineWidth = 1;
    trace(context, axes, points, "loss");
    context.globalAlpha = 1;
    context.lineWidth = 2.25;
    trace(context, axes, points, "mean");
    context.restore();
    if (live || points.length === 1) {
      const { step, mean } = last(points);
      disc(context, axes.x(step), axes.y(mean), 4);
      context.globalAlpha = 0.25;
      disc(context, axes.x(step), axes.y(mean), 8);
      context.globalAlpha = 1;
    }
  }

  /** Draw a line at the pointer, and show the values there.
   * @param {CanvasRenderingContext2D} context
   * @param {Axes} axes
   * @param {(name: string) => string} colour */
  read(context, axes, colour) {
    const { pointer, reading } = this;
    reading.hidden = true;
    if (pointer === null || pointer < MARGIN.left || pointer > axes.right || !this.curves.length) return;
    reading.hidden = false;
    const step = Math.min(Math.round(axes.stepAt(pointer)), axes.steps - 1);
    context.strokeStyle = colour("--quiet");
    context.setLineDash([3, 3]);
    segment(context, pointer, MARGIN.top, pointer, axes.bottom);
    context.setLineDash([]);
    /** @type {Node[]} */
    const lines = [document.createTextNode(`step ${grouped(step)}`)];
    for (const curve of this.curves) {
      const near = nearest(curve.points, step);
      context.fillStyle = colour(curve.colour);
      disc(context, axes.x(near.step), axes.y(near.mean), 3.5);
      const row = document.createElement("div");
      row.style.color = colour(curve.colour);
      row.textContent = `${near.mean.toFixed(3)}  ${curve.name}`;
      lines.push(row);
    }
    reading.replaceChildren(...lines);
    const left = pointer < (axes.right + MARGIN.left) / 2;
    reading.style.left = left ? `${pointer + 12}px` : "auto";
    reading.style.right = left ? "auto" : `${this.canvas.clientWidth - pointer + 12}px`;
  }

  /** Return what is drawn, for who does not see it. */
  inWords() {
    const said = this.curves.map(({ name, points }) => {
      const { step, mean } = last(points);
      return `${name}: mean loss ${mean.toFixed(3)} at step ${step}`;
    });
    return said.join("; ") || "No run is drawn";
  }
}

/** Draw the values at `key` as a line, averaged where points are closer than half a pixel.
 * @param {CanvasRenderingContext2D} context
 * @param {Axes} axes
 * @param {Point[]} points
 * @param {"loss" | "mean"} key */
function trace(context, axes, points, key) {
  const each = Math.max(1, Math.floor(points.length / (2 * (axes.right - MARGIN.left))));
  context.beginPath();
  for (let i = 0; i < points.length; i += each) {
    const group = points.slice(i, i + each);
    const value = group.reduce((sum, point) => sum + point[key], 0) / group.length;
    context.lineTo(axes.x(last(group).step), axes.y(value));
  }
  context.stroke();
}

/** @param {CanvasRenderingContext2D} context
 * @param {number} x1
 * @param {number} y1
 * @param {number} x2
 * @param {number} y2 */
function segment(context, x1, y1, x2, y2) {
  context.beginPath();
  context.moveTo(x1, y1);
  context.lineTo(x2, y2);
  context.stroke();
}

/** @param {CanvasRenderingContext2D} context
 * @param {number} x
 * @param {number} y
 * @param {number} radius */
function disc(context, x, y, radius) {
  context.beginPath();
  context.arc(x, y, radius, 0, 2 * Math.PI);
  context.fill();
}

/** Return the last of some points, of which there is at least one.
 * @param {Point[]} points
 * @returns {Point} */
function last(points) {
  return points[points.length - 1];
}

/** Return the distance between at most `most` ticks of an axis: 1, 2 or 5 times a power of ten.
 * @param {number} length
 * @param {number} most
 * @returns {number} */
function tick(length, most) {
  const power = 10 ** Math.floor(Math.log10(length / most));
  return [1, 2, 5].map((factor) => factor * power).find((unit) => length / unit <= most) ?? 10 * power;
}

/** Return the point whose step is closest; the steps of `points` ascend.
 * @param {Point[]} points
 * @param {number} step
 * @returns {Point} */
function nearest(points, step) {
  let low = 0;
  let high = points.length - 1;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (points[middle].step < step) low = middle + 1;
    else high = middle;
  }
  const before = points[low - 1];
  return before && step - before.step < points[low].step - step ? before : points[low];
}
