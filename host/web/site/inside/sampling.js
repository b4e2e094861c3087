// From logits to a drawn token: temperature, softmax, and a draw that falls into one part of a row.

const SMALLEST_DIVISOR = 1e-30; // as the board's generator has it: 1 / less can be infinite

/** Return the logits divided by the temperature; at temperature 0 by almost 0, as the board does.
 * @param {ArrayLike<number>} logits
 * @param {number} temperature
 * @returns {Float64Array} */
export function scaled(logits, temperature) {
  const divisor = Math.max(temperature, SMALLEST_DIVISOR);
  return Float64Array.from(logits, (logit) => logit / divisor);
}

/** Return the probability of each token; at temperature 0 that of the first of the likeliest is 1.
 * @param {ArrayLike<number>} logits
 * @param {number} temperature
 * @returns {Float64Array} */
export function softmax(logits, temperature) {
  const largest = Math.max(...Array.from(logits));
  if (temperature === 0) {
    const first = Array.prototype.indexOf.call(logits, largest);
    return Float64Array.from(logits, (_, token) => (token === first ? 1 : 0));
  }
  const divisor = Math.max(temperature, SMALLEST_DIVISOR);
  const powers = Float64Array.from(logits, (logit) => Math.exp((logit - largest) / divisor));
  const sum = powers.reduce((total, power) => total + power, 0);
  return powers.map((power) => power / sum);
}

/** Return where the part of each token ends in the row of all probabilities, the last at 1.
 * @param {ArrayLike<number>} probabilities
 * @returns {Float64Array} */
export function cumulative(probabilities) {
  let total = 0;
  const ends = Float64Array.from(probabilities, (probability) => (total += probability));
  return ends.map((end) => end / total);
}

/** Return the token into whose part of the row `u`, in [0, 1), falls; never one of probability 0.
 * @param {ArrayLike<number>} probabilities
 * @param {number} u */
export function drawn(probabilities, u) {
  const ends = cumulative(probabilities);
  let last = 0;
  for (let token = 0; token < ends.length; token++) {
    if (probabilities[token] <= 0) continue;
    if (u < ends[token]) return token;
    last = token;
  }
  return last;
}

/** Return the tokens of the `most` largest values, in the order of their numbers.
 * @param {ArrayLike<number>} values
 * @param {number} most */
export function largest(values, most) {
  const tokens = Array.from(values, (_, token) => token);
  tokens.sort((a, b) => values[b] - values[a] || a - b);
  return tokens.slice(0, most).sort((a, b) => a - b);
}
