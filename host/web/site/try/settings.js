// The form of sizes and settings, and where a model of these sizes fits.

import { button, make, messageOf } from "../../common/elements.js";
import { grouped } from "../../common/text.js";
import { TITLES, allowed, kindOf, ruleOf, usual, valueOf } from "../model/values.js";
import { the } from "./elements.js";

/** @typedef {import("../model/values.js").Site} Site
 * @typedef {import("../model/values.js").Values} Values
 * @typedef {import("./session.js").Verdict} Verdict */

const WAIT = 200; // ms after the last key
const LEFT_OUT = ["save_every_s"]; // a tab saves no checkpoints

const REFUSAL = / need ([\d,]+ bytes.*?), ([\d,]+) are free; what fits: (.*)$/; // of ugpt.memory

export class Invalid extends Error {}

/** Events: "changed" when the values have changed. */
export class SettingsForm extends EventTarget {
  /** @param {Site} site */
  constructor(site) {
    super();
    this.site = site;
    this.names = Object.keys(site.settings).filter((name) => !LEFT_OUT.includes(name));
    this.timer = 0;
    for (const name of this.names) {
      const field = this.field(name);
      field.title = `${name}: ${allowed(name, site)}`;
      field.addEventListener(field.type === "checkbox" ? "change" : "input", () => this.changed());
    }
    the("settings").addEventListener("submit", (/** @type {Event} */ event) => event.preventDefault());
    the("seed-dice").addEventListener("click", () => {
      this.set({ seed: 1 + Math.floor(Math.random() * 999_999) });
    });
    the("sizes-usual").addEventListener("click", () => this.set(usual(site)));
    this.show(usual(site));
  }

  /** @param {string} name
   * @returns {HTMLInputElement} */
  field(name) {
    return the(`set-${name}`);
  }

  /** @param {Values} values */
  show(values) {
    for (const name of this.names.filter((each) => each in values)) {
      const field = this.field(name);
      if (kindOf(name, this.site) === "switch") field.checked = Boolean(values[name]);
      else field.value = plain(Number(values[name]));
    }
  }

  /** Set some values, as if they had been entered.
   * @param {Values} values */
  set(values) {
    this.show(values);
    this.changed(0);
  }

  /** Set values that were offered by a button, which goes away.
   * @param {Values} values */
  take(values) {
    this.set(values);
    this.field(Object.keys(values)[0]).focus();
  }

  /** @param {number} [wait] milliseconds */
  changed(wait = WAIT) {
    clearTimeout(this.timer);
    this.timer = window.setTimeout(() => this.dispatchEvent(new Event("changed")), wait);
  }

  /** Return all settings; throw Invalid, and mark the field, if one has an impossible value.
   * @returns {Values} */
  values() {
    const values = usual(this.site);
    let wrong = "";
    for (const name of this.names) {
      const field = this.field(name);
      const ticked = field.type === "checkbox";
      const text = ticked ? String(Number(field.checked)) : field.value.trim();
      const value = valueOf(name, text, this.site);
      field.setAttribute("aria-invalid", String(value === null));
      if (value !== null) values[name] = value;
      else wrong ||= `${TITLES[name]} must be ${allowed(name, this.site)}${commas(text)}`;
    }
    if (!wrong && Number(values.n_embd) % Number(values.n_head)) wrong = this.undivided(values);
    the("settings-error").textContent = wrong;
    if (wrong) throw new Invalid(wrong);
    return values;
  }

  /** Say which widths the heads can share.
   * @param {Values} values */
  undivided({ n_embd, n_head }) {
    for (const name of ["n_embd", "n_head"]) this.field(name).setAttribute("aria-invalid", "true");
    const [width, heads] = [Number(n_embd), Number(n_head)];
    const below = width - (width % heads);
    const highest = Number(ruleOf("n_embd", this.site).highest);
    const near = [below, below + heads].filter((each) => each >= 1 && each <= highest);
    const which = near.length > 1 ? `the nearest widths are ${near.join(" and ")}` : `take ${near[0]}`;
    return `Width ${width} cannot be shared by ${heads} heads: ${which}`;
  }

  /** Go to the first field with an impossible value. */
  goToError() {
    const field = document.querySelector('#settings [aria-invalid="true"]');
    if (field instanceof HTMLElement) {
      const more = field.closest("details");
      if (more) more.open = true;
      field.focus();
    }
  }

  /** Say what a model takes, and where it fits.
   * @param {Verdict} verdict */
  showFits({ parameters, needed, refusals, tab }) {
    const figures = `${grouped(parameters)} parameters, ${grouped(needed)} bytes to train them.`;
    the("fits-figures").textContent = figures;
    /** @type {Map<string, string[]>} */
    const boards = new Map(); // titles of those with the same memory, by refusal
    for (const { name, title } of this.site.boards) {
      const refusal = refusals[name] ?? "";
      boards.set(refusal, [...(boards.get(refusal) ?? []), title]);
    }
    const places = [...boards].map(([refusal, titles]) => this.place(titles.join(", "), refusal));
    the("fits").replaceChildren(this.place("This tab", tab), ...places);
  }

  /** Say why that is not known.
   * @param {unknown} error */
  showNoFits(error) {
    the("fits-figures").textContent = messageOf(error);
    the("fits").replaceChildren();
  }

  /** Return where a model fits or not, with the nearest sizes that do as buttons.
   * @param {string} title
   * @param {string} refusal */
  place(title, refusal) {
    const [look, word] = refusal ? ["no", "too large"] : ["yes", "fits"];
    const verdict = make("span", { className: `verdict ${look}` }, word);
    const item = make("li", {}, make("span", {}, title), verdict);
    if (!refusal) return item;
    const said = REFUSAL.exec(refusal);
    if (!said) {
      item.append(make("span", { className: "quiet" }, refusal));
      return item;
    }
    const offers = said[3].split(", or ").map(sizesIn).filter((sizes) => Object.keys(sizes).length);
    const what = offers.length ? "What fits:" : "No model with these characters fits.";
    item.append(make("span", { className: "quiet" }, `It needs ${said[1]}, ${said[2]} are free. ${what}`));
    if (offers.length) {
      const buttons = offers.map((sizes) => button(inWords(sizes), () => this.take(sizes)));
      item.append(make("span", { className: "actions" }, ...buttons));
    }
    return item;
  }
}

/** Return what to say of a number with a comma, which is a point in some countries.
 * @param {string} text */
function commas(text) {
  return text.includes(",") ? ", written without commas" : "";
}

/** Return why a model does not fit, without what would.
 * @param {string} refusal */
export function shortly(refusal) {
  const said = REFUSAL.exec(refusal);
  return said ? `the model needs ${said[1]}, and ${said[2]} are free` : refusal;
}

/** Return the sizes in a text such as N_EMBD=20 N_LAYER=1.
 * @param {string} text
 * @returns {Values} */
function sizesIn(text) {
  const found = [...text.matchAll(/([A-Z_]+)=(\d+)/g)];
  return Object.fromEntries(found.map(([, name, value]) => [name.toLowerCase(), Number(value)]));
}

/** @param {Values} sizes */
function inWords(sizes) {
  const title = (/** @type {string} */ name) => (TITLES[name] ?? name).toLowerCase();
  const text = Object.entries(sizes).map(([name, value]) => `${title(name)} ${value}`).join(", ");
  return text[0].toUpperCase() + text.slice(1);
}

/** Return a number as the fields have it, without an exponent.
 * @param {number} value */
function plain(value) {
  const text = String(value);
  return text.includes("e") ? value.toFixed(12).replace(/0+$/, "") : text;
}
