// Principal components: the two directions in which points of many dimensions differ most.

const BLOCK = 6; // directions that are followed, so that the first two converge quickly
const ROUNDS = 300; // at most, and for large matrices fewer:
const WORK = 8e6; // numbers that are read for each direction; the next call goes on where this one stops
const FEWEST = 10; // rounds
const OUTGROWN = 1.5; // variance along the second axis, over that along the first, when they change places
const TOLERANCE = 1e-9; // of the share of variance, from one round to the next

/** @typedef {{axes: Float64Array[], shares: number[], points: [number, number][]}} Projection
 *   two unit vectors, the share of the variance along each, and the place of each point */

/** Return the projection of rows on their first two principal components.
 *
 * A component has no direction of its own, and the first two change places when their shares cross.
 * So where `before`, an earlier result, is given, each axis is the one closest to its earlier self, until
 * the second clearly has the larger share: points do not jump while the rows change little.
 * @param {ArrayLike<number>} matrix  rows one after another
 * @param {number} rows
 * @param {number} columns
 * @param {Projection|null} [before]
 * @returns {Projection} */
export function project(matrix, rows, columns, before = null) {
  const centred = centredRows(matrix, rows, columns);
  const total = centred.reduce((sum, value) => sum + value * value, 0);
  let axes = startOf(columns, before);
  let kept = -1;
  const rounds = Math.max(FEWEST, Math.min(ROUNDS, WORK / (rows * columns)));
  for (let round = 0; round < rounds; round++) {
    axes = orthonormal(axes.map((axis) => times(centred, rows, columns, axis)));
    const spread = rotated(centred, rows, columns, axes);
    axes = spread.axes;
    const share = total ? (spread.variances[0] + spread.variances[1]) / total : 0;
    if (Math.abs(share - kept) < TOLERANCE * share && round >= FEWEST) break;
    kept = share;
  }
  const two = aligned(axes.slice(0, 2), before, centred, rows, columns);
  const places = two.map((axis) => along(centred, rows, columns, axis));
  const shares = places.map((place) => (total ? dot(place, place) / total : 0));
  if (shares[1] > OUTGROWN * shares[0]) for (const pair of [two, places, shares]) pair.reverse();
  const points = Array.from({ length: rows }, (_, row) => {
    return /** @type {[number, number]} */ ([places[0][row], places[1][row]]);
  });
  return { axes: two, shares, points };
}

/** @param {ArrayLike<number>} matrix @param {number} rows @param {number} columns */
function centredRows(matrix, rows, columns) {
  const centred = Float64Array.from({ length: rows * columns }, (_, i) => matrix[i]);
  for (let column = 0; column < columns; column++) {
    let sum = 0;
    for (let row = 0; row < rows; row++) sum += centred[row * columns + column];
    for (let row = 0; row < rows; row++) centred[row * columns + column] -= sum / rows;
  }
  return centred;
}

/** Return directions to start from: the earlier axes, then fixed ones that no data is orthogonal to.
 * @param {number} columns @param {Projection|null} before */
function startOf(columns, before) {
  const count = Math.max(2, Math.min(BLOCK, columns));
  const axes = before?.axes[0].length === columns ? [...before.axes] : [];
  let state = 1;
  while (axes.length < count) {
    axes.push(Float64Array.from({ length: columns }, () => {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
      return state / 2 ** 32 - 0.5;
    }));
  }
  return axes;
}

/** Return the covariance matrix, but for a factor, times a vector.
 * @param {Float64Array} centred @param {number} rows @param {number} columns
 * @param {Float64Array} vector */
function times(centred, rows, columns, vector) {
  const place = along(centred, rows, columns, vector);
  const result = new Float64Array(columns);
  for (let row = 0; row < rows; row++) {
    const weight = place[row];
    const from = row * columns;
    for (let column = 0; column < columns; column++) result[column] += weight * centred[from + column];
  }
  return result;
}

/** Return the coordinate of each row along a vector.
 * @param {Float64Array} centred @param {number} rows @param {number} columns @param {Float64Array} vector */
function along(centred, rows, columns, vector) {
  return Float64Array.from({ length: rows }, (_, row) => {
    let sum = 0;
    for (let column = 0; column < columns; column++) sum += centred[row * columns + column] * vector[column];
    return sum;
  });
}

/** @param {Float64Array} a @param {Float64Array} b */
function dot(a, b) {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i] * b[i];
  return sum;
}

/** Return unit vectors at right angles that span the same space; zeros where it has fewer dimensions.
 * @param {Float64Array[]} vectors */
function orthonormal(vectors) {
  /** @type {Float64Array[]} */
  const done = [];
  for (const vector of vectors) {
    const rest = vector.slice();
    const length = Math.sqrt(dot(rest, rest));
    for (let pass = 0; pass < 2; pass++) { // twice: the first leaves rounding errors
      for (const other of done) {
        const part = dot(rest, other);
        for (let i = 0; i < rest.length; i++) rest[i] -= part * other[i];
      }
    }
    const left = Math.sqrt(dot(rest, rest));
    done.push(left > 1e-12 * length ? rest.map((value) => value / left) : rest.fill(0));
  }
  return done;
}

/** Return the axes rotated among themselves, so that the first has the largest variance, and so on.
 * @param {Float64Array} centred @param {number} rows @param {number} columns @param {Float64Array[]} axes */
function rotated(centred, rows, columns, axes) {
  const places = axes.map((axis) => along(centred, rows, columns, axis));
  const small = places.map((a) => places.map((b) => dot(a, b)));
  const turn = jacobi(small);
  const order = small.map((_, i) => i).sort((a, b) => small[b][b] - small[a][a]);
  return {
    variances: order.map((i) => small[i][i]),
    axes: order.map((i) => {
      const axis = new Float64Array(columns);
      axes.forEach((old, j) => old.forEach((value, column) => (axis[column] += turn[j][i] * value)));
      return axis;
    }),
  };
}

/** Diagonalise a small symmetric matrix in place; return the matrix whose columns are its eigenvectors.
 * @param {number[][]} matrix */
function jacobi(matrix) {
  const size = matrix.length;
  const vectors = matrix.map((_, i) => matrix.map((__, j) => Number(i === j)));
  for (let sweep = 0; sweep < 30; sweep++) {
    let off = 0;
    for (let p = 0; p < size; p++) {
      for (let q = p + 1; q < size; q++) {
        off += Math.abs(matrix[p][q]);
        if (matrix[p][q] === 0) continue;
        const theta = (matrix[q][q] - matrix[p][p]) / (2 * matrix[p][q]);
        const t = (theta < 0 ? -1 : 1) / (Math.abs(theta) + Math.sqrt(theta * theta + 1));
        const c = 1 / Math.sqrt(t * t + 1);
        const s = t * c;
        for (const row of [...matrix, ...vectors]) {
          [row[p], row[q]] = [c * row[p] - s * row[q], s * row[p] + c * row[q]];
        }
        for (let k = 0; k < size; k++) {
          const [upper, lower] = [matrix[p][k], matrix[q][k]];
          matrix[p][k] = c * upper - s * lower;
          matrix[q][k] = s * upper + c * lower;
        }
      }
    }
    if (off === 0) break;
  }
  return vectors;
}

/** Return two axes in the order and with the signs that are closest to the earlier ones.
 * @param {Float64Array[]} axes @param {Projection|null} before
 * @param {Float64Array} centred @param {number} rows @param {number} columns */
function aligned(axes, before, centred, rows, columns) {
  const old = before?.axes;
  if (!old || old[0].length !== columns) {
    return axes.map((axis) => { // of the point furthest out, the coordinate is positive
      const place = along(centred, rows, columns, axis);
      const far = place.reduce((a, b) => (Math.abs(b) > Math.abs(a) ? b : a), 0);
      return far < 0 ? axis.map((value) => -value) : axis;
    });
  }
  const near = (/** @type {number} */ i, /** @type {number} */ j) => Math.abs(dot(axes[i], old[j]));
  const same = near(0, 0) + near(1, 1) >= near(0, 1) + near(1, 0);
  return (same ? axes : [axes[1], axes[0]]).map((axis, i) => {
    return dot(axis, old[i]) < 0 ? axis.map((value) => -value) : axis;
  });
}
