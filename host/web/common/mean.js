// The mean loss that is drawn and shown: over the last 100 steps.

export const MEAN_OVER = 100; // steps

/** Return the mean over the last MEAN_OVER steps, of which `last` keeps those that were logged.
 * @param {{step: number, mean: number}[]} last
 * @param {number} step
 * @param {number} mean the mean of the steps since the line before
 * @returns {number} */
export function movingMean(last, step, mean) {
  last.push({ step, mean });
  while (last[0].step <= step - MEAN_OVER) last.shift();
  return last.reduce((sum, logged) => sum + logged.mean, 0) / last.length;
}
