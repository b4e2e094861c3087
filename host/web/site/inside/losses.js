// The loss of each character of a text, as coloured characters with figures; one of them is chosen.

import { percent, sign } from "./picture.js";

/** @typedef {import("./picture.js").Inside} Inside */

const LONGEST = 24; // characters that are repeated of what stands before a position
const STRONGEST = 42; // percent of colour in a tile; more would leave too little contrast for its text

export class Losses {
  /** @param {HTMLElement} list
   * @param {(position: number) => void} choose */
  constructor(list, choose) {
    this.list = list;
    this.chosen = 0;
    list.addEventListener("click", (event) => {
      const tile = event.target instanceof Element ? event.target.closest("button") : null;
      if (tile) choose([...list.children].indexOf(/** @type {Element} */ (tile.parentElement)));
    });
    list.addEventListener("keydown", (event) => {
      const by = { ArrowLeft: -1, ArrowRight: 1, Home: -Infinity, End: Infinity }[event.key];
      if (by === undefined) return;
      event.preventDefault();
      const position = Math.min(Math.max(this.chosen + by, 0), list.children.length - 1);
      choose(position);
      list.children[position].querySelector("button")?.focus();
    });
  }

  /** Show the losses; the tile of the position `chosen` is pressed.
   * @param {Inside} inside
   * @param {number} vocabSize
   * @param {number} chosen */
  show(inside, vocabSize, chosen) {
    this.chosen = chosen;
    const even = Math.log(vocabSize);
    while (this.list.children.length > inside.n) this.list.lastElementChild?.remove();
    while (this.list.children.length < inside.n) this.list.append(tile());
    [...this.list.children].forEach((item, position) => {
      const button = /** @type {HTMLButtonElement} */ (item.firstElementChild);
      const [character, after, loss, , chance] = /** @type {HTMLElement[]} */ ([...button.children]);
      const value = inside.losses[position];
      const target = targetOf(inside, position);
      character.textContent = target.isBos ? "end" : sign(target.character);
      character.classList.toggle("word", target.isBos);
      loss.textContent = value.toFixed(2);
      chance.textContent = percent(Math.exp(-value));
      const share = value < even ? 1 - value / even : Math.min(1, value / even - 1);
      button.style.setProperty("--tint", value < even ? "var(--accent)" : "var(--live)");
      button.style.setProperty("--mix", `${(STRONGEST * share).toFixed(0)}%`);
      button.setAttribute("aria-pressed", String(position === chosen));
      button.tabIndex = position === chosen ? 0 : -1;
      after.textContent = ` after ${before(inside, position)}: loss `;
    });
  }
}

function tile() {
  const item = document.createElement("li");
  const button = document.createElement("button");
  button.type = "button";
  button.className = "tile";
  for (const [name, text] of [["bdi", ""], ["span", ""], ["b", ""], ["span", ", chance "], ["b", ""]]) {
    const part = document.createElement(name);
    part.textContent = text;
    if (name === "span") part.className = "visually-hidden"; // what a screen reader says between the figures
    button.append(part);
  }
  item.append(button);
  return item;
}

/** Return the character that is to follow a position, and its token.
 * @param {Inside} inside
 * @param {number} position */
export function targetOf(inside, position) {
  const [character, token] = position + 1 < inside.tokens.length
    ? [inside.characters[position + 1], inside.tokens[position + 1]]
    : [inside.characters[0], inside.tokens[0]];
  return { character, token, isBos: token === inside.tokens[0] };
}

/** Return what is known at a position, in words, not all of a long text.
 * @param {Inside} inside
 * @param {number} position */
export function before(inside, position) {
  const characters = [...inside.text].slice(0, position);
  if (!characters.length) return "the start";
  const rest = characters.length > LONGEST ? "…" : "";
  return `“${rest}${characters.slice(-LONGEST).join("")}”`;
}
