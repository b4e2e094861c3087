// The losses of a run as points of a curve: few enough to be drawn at each change.

import { MEAN_OVER } from "../../common/mean.js";

/** @typedef {{step: number, loss: number, mean: number}} Point */

const MOST = 4000; // points; then two become one

export class Curve {
  constructor() {
    /** @type {Point[]} */
    this.points = [];
    this.each = 1; // steps that a point stands for
    this.sum = 0;
    this.count = 0; // steps in `sum`, of the point that is not yet whole
    /** @type {number[]} */
    this.latest = []; // losses that the mean is over
    this.mean = 0;
    this.loss = 0;
  }

  /** Add the loss of a step; steps ascend.
   * @param {number} step
   * @param {number} loss */
  add(step, loss) {
    this.latest.push(loss);
    if (this.latest.length > MEAN_OVER) this.latest.shift();
    this.loss = loss;
    this.mean = this.latest.reduce((sum, each) => sum + each, 0) / this.latest.length;
    this.sum += loss;
    this.count++;
    if (this.count < this.each && step) return;
    this.points.push({ step, loss: this.sum / this.count, mean: this.mean });
    this.sum = this.count = 0;
    if (this.points.length > MOST) this.halve();
  }

  /** Let a point stand for twice as many steps; the first one stays. */
  halve() {
    const [first, ...rest] = this.points;
    /** @type {Point[]} */
    const merged = [first];
    for (let i = 0; i + 1 < rest.length; i += 2) {
      const [a, b] = [rest[i], rest[i + 1]];
      merged.push({ step: b.step, loss: (a.loss + b.loss) / 2, mean: b.mean });
    }
    if (rest.length % 2) {
      const last = rest[rest.length - 1];
      this.sum = last.loss * this.each;
      this.count = this.each;
    }
    this.points = merged;
    this.each *= 2;
  }
}
