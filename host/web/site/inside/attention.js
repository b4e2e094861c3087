// The attention of each head as a heat map: rows look at columns, and the colour says how much.

import { before } from "./losses.js";
import { Picture, inWords, percent, read, sign } from "./picture.js";

/** @typedef {import("./picture.js").Inside} Inside
 * @typedef {import("./picture.js").Sheet} Sheet */

const MARGIN = { left: 34, top: 34, right: 2, bottom: 2 };
const GAPS = 8; // pixels of a cell above which there is a gap to the next
const LEAST = 11; // pixels from one label to the next

export class Attention {
  /** @param {HTMLElement} maps  for a figure of each head
   * @param {HTMLSelectElement} layer
   * @param {HTMLElement} layerLabel
   * @param {(position: number) => void} choose */
  constructor(maps, layer, layerLabel, choose) {
    this.maps = maps;
    this.layer = layer;
    this.layerLabel = layerLabel;
    this.choose = choose;
    /** @type {Picture[]} */
    this.pictures = [];
    /** @type {Inside|null} */
    this.inside = null;
    this.chosen = 0;
    this.pixels = document.createElement("canvas");
    layer.addEventListener("change", () => this.draw());
  }

  /** @param {Inside} inside
   * @param {number} chosen  the position whose row is marked */
  show(inside, chosen) {
    this.inside = inside;
    this.chosen = chosen;
    const { n_layer, n_head } = inside;
    if (this.layer.length !== n_layer) {
      const name = (/** @type {number} */ i) => `Layer ${i + 1} of ${n_layer}`;
      const options = Array.from({ length: n_layer }, (_, i) => new Option(name(i), String(i)));
      this.layer.replaceChildren(...options);
    }
    this.layerLabel.hidden = n_layer === 1;
    if (this.pictures.length !== n_head) {
      for (const picture of this.pictures) picture.forget();
      this.maps.replaceChildren();
      this.pictures = Array.from({ length: n_head }, (_, head) => this.map(head));
    }
    this.draw();
  }

  draw() {
    for (const picture of this.pictures) picture.draw();
  }

  /** Add the figure of a head to the page.
   * @param {number} head */
  map(head) {
    const figure = document.createElement("figure");
    const caption = document.createElement("figcaption");
    const frame = document.createElement("div");
    const canvas = document.createElement("canvas");
    const reading = document.createElement("p");
    caption.textContent = `Head ${head + 1}`;
    frame.className = "map";
    reading.className = "reading";
    reading.setAttribute("aria-hidden", "true");
    reading.hidden = true;
    frame.append(canvas, reading);
    figure.append(caption, frame);
    this.maps.append(figure);
    const picture = new Picture(canvas, (sheet) => this.paint(sheet, head));
    const at = (/** @type {PointerEvent} */ event) => this.at(canvas, event.offsetX, event.offsetY);
    canvas.addEventListener("pointermove", (event) => {
      const { row, column, inside } = at(event);
      const text = inside && column <= row ? this.said(inside, head, row, column) : "";
      read(reading, frame, text, event.offsetX, event.offsetY);
    });
    canvas.addEventListener("pointerleave", () => read(reading, frame, "", 0, 0));
    canvas.addEventListener("click", (event) => {
      const { row, inside } = this.at(canvas, event.offsetX, event.offsetY);
      if (inside) this.choose(row);
    });
    return picture;
  }

  /** Return the cell at a point; `inside` is null outside the map.
   * @param {HTMLCanvasElement} canvas
   * @param {number} x
   * @param {number} y */
  at(canvas, x, y) {
    const n = this.inside?.n ?? 1;
    const cell = cellOf(canvas.clientWidth, canvas.clientHeight, n);
    const [row, column] = [y - MARGIN.top, x - MARGIN.left].map((pixels) => Math.floor(pixels / cell));
    const within = Math.min(row, column) >= 0 && Math.max(row, column) < n;
    return { row, column, inside: within ? this.inside : null };
  }

  /** @param {Inside} inside @param {number} head @param {number} row @param {number} column */
  said(inside, head, row, column) {
    const name = (/** @type {number} */ position) => (position ? sign(inside.characters[position]) : "start");
    const [from, to] = [name(row), name(column)];
    return `${from} (${row}) looks at ${to} (${column}): ${percent(this.weights(inside, head, row)[column])}`;
  }

  /** Return the attention of a position to all positions, in the layer that is shown.
   * @param {Inside} inside @param {number} head @param {number} row */
  weights({ attention, n, n_head }, head, row) {
    const from = ((Math.max(0, this.layer.selectedIndex) * n_head + head) * n + row) * n;
    return attention.subarray(from, from + n);
  }

  /** Return the map with a pixel a cell, its opacity the weight: quick also for many positions.
   * @param {Inside} inside @param {number} head @param {string} colour */
  image(inside, head, colour) {
    const { n } = inside;
    const { pixels } = this;
    [pixels.width, pixels.height] = [n, n];
    const context = /** @type {CanvasRenderingContext2D} */ (pixels.getContext("2d"));
    const image = context.createImageData(n, n);
    const rgb = parseInt(colour.trim().slice(1), 16);
    const [red, green, blue] = [rgb >> 16, (rgb >> 8) & 255, rgb & 255];
    for (let row = 0, at = 0; row < n; row++) {
      for (const weight of this.weights(inside, head, row)) {
        image.data[at++] = red;
        image.data[at++] = green;
        image.data[at++] = blue;
        image.data[at++] = 255 * weight;
      }
    }
    context.putImageData(image, 0, 0);
    return pixels;
  }

  /** @param {Sheet} sheet @param {number} head */
  paint({ context, width, height, colour, font }, head) {
    const { inside } = this;
    if (!inside) return `Head ${head + 1}: no text has been looked at`;
    const { n, characters } = inside;
    const cell = cellOf(width, height, n);
    const side = n * cell;
    context.fillStyle = colour("--sunk");
    for (let row = 0; row < n; row++) {
      context.fillRect(MARGIN.left, MARGIN.top + row * cell, (row + 1) * cell, cell);
    }
    context.imageSmoothingEnabled = false;
    context.drawImage(this.image(inside, head, colour("--accent")), MARGIN.left, MARGIN.top, side, side);
    if (cell > GAPS) {
      context.fillStyle = colour("--card");
      for (let i = 1; i <= n; i++) {
        context.fillRect(MARGIN.left + i * cell - 1, MARGIN.top, 1, side);
        context.fillRect(MARGIN.left, MARGIN.top + i * cell - 1, side, 1);
      }
    }
    const rowTop = MARGIN.top + this.chosen * cell;
    context.strokeStyle = colour("--live");
    context.lineWidth = 2;
    context.strokeRect(MARGIN.left - 1, rowTop - 1, side + 1, cell + 1);

    context.fillStyle = colour("--quiet");
    context.font = font(11);
    context.textBaseline = "alphabetic";
    context.textAlign = "left";
    context.fillText("looked at →", MARGIN.left, 11);
    context.save();
    context.translate(11, MARGIN.top);
    context.rotate(-Math.PI / 2);
    context.textAlign = "right";
    context.fillText("← looks", 0, 0);
    context.restore();
    const each = Math.ceil(LEAST / cell);
    context.font = font(Math.min(14, Math.max(10, 0.8 * cell)));
    for (let position = 0; position < n; position += each) {
      const middle = (position + 0.5) * cell;
      const mine = position === this.chosen;
      const text = sign(characters[position]);
      context.fillStyle = colour("--ink");
      context.textAlign = "center";
      context.textBaseline = "alphabetic";
      context.fillText(text, MARGIN.left + middle, MARGIN.top - 6);
      context.fillStyle = colour(mine ? "--live" : "--ink");
      context.textAlign = "right";
      context.textBaseline = "middle";
      context.fillText(text, MARGIN.left - 6, MARGIN.top + middle);
    }
    return this.label(inside, head);
  }

  /** @param {Inside} inside @param {number} head */
  label(inside, head) {
    const weights = this.weights(inside, head, this.chosen);
    const looked = Array.from(weights.keys()).slice(0, this.chosen + 1);
    const order = looked.sort((a, b) => weights[b] - weights[a]);
    const said = order.slice(0, 3).map((position) => {
      const name = inWords(inside.characters[position], position === 0, "the start");
      return `${name} at position ${position}: ${percent(weights[position])}`;
    });
    const layer = inside.n_layer > 1 ? `, layer ${this.layer.selectedIndex + 1}` : "";
    return (
      `Attention of head ${head + 1}${layer}, a map of ${inside.n} by ${inside.n} positions: rows look at ` +
      `columns. After ${before(inside, this.chosen)}, position ${this.chosen} looks at ${said.join("; ")}`
    );
  }
}

/** @param {number} width @param {number} height @param {number} n */
function cellOf(width, height, n) {
  return Math.min(width - MARGIN.left - MARGIN.right, height - MARGIN.top - MARGIN.bottom) / n;
}

