// The values that a setting of the board's program can have; the rules come with site.json.

import { grouped } from "../../common/text.js";

/** @typedef {{default: number|boolean|null, lowest: number|boolean, highest: number|boolean}} Rule
 * @typedef {{settings: Record<string, Rule>, names_format: import("../data/names_bin.js").Format,
 *   presets: {name: string, title: string, about: string, file: string, documents: number}[],
 *   boards: {name: string, title: string, chip_family: string, free: number, piece: number}[],
 *   log: import("../../common/log.js").Rules, version: string, micropython: string}} Site
 * @typedef {Record<string, number|boolean>} Values */

/** How a person reads the name of a setting.
 * @type {Record<string, string>} */
export const TITLES = {
  seed: "Seed",
  steps: "Steps",
  lr: "Learning rate",
  temperature: "Temperature",
  log_every: "Steps a line of the log",
  n_embd: "Width",
  n_head: "Heads",
  n_layer: "Layers",
  block_size: "Positions",
  tie_lm_head: "One matrix for input and output tokens",
  input_rmsnorm: "Norm after the embedding",
  max_characters: "Most characters",
};

/** Return the default, lowest and highest value of a setting; the page packs documents for `block_size`.
 * @param {string} name
 * @param {Site} site
 * @returns {Rule} */
export function ruleOf(name, { settings, names_format: format }) {
  if (name === "block_size") {
    return { default: format.block_size, lowest: format.alignment, highest: format.max_record_size };
  }
  return settings[name];
}

/** Return whether a setting is a switch, a whole number or any number.
 * @param {string} name
 * @param {Site} site
 * @returns {"switch"|"whole"|"number"} */
export function kindOf(name, site) {
  const { default: usual } = ruleOf(name, site);
  if (typeof usual === "boolean") return "switch";
  return Number.isInteger(usual) ? "whole" : "number";
}

/** Return which values a setting can have, in words.
 * @param {string} name
 * @param {Site} site */
export function allowed(name, site) {
  const { lowest, highest } = ruleOf(name, site);
  const kind = kindOf(name, site);
  if (kind === "switch") return "on or off";
  const most = grouped(Number(highest));
  return `a ${kind === "whole" ? "whole " : ""}number from ${Number(lowest)} to ${most}`;
}

/** Return the value that a text gives a setting, null if it is none.
 * @param {string} name
 * @param {string} text
 * @param {Site} site
 * @returns {number|boolean|null} */
export function valueOf(name, text, site) {
  const kind = kindOf(name, site);
  if (kind === "switch") return text === "1" ? true : text === "0" ? false : null;
  const form = kind === "whole" ? /^\d{1,10}$/ : /^(\d{1,10}(\.\d*)?|\.\d+)(e[-+]?\d{1,2})?$/i;
  if (!form.test(text)) return null;
  const { lowest, highest } = ruleOf(name, site);
  const value = Number(text);
  return value >= Number(lowest) && value <= Number(highest) ? value : null;
}

/** Return the defaults of all settings.
 * @param {Site} site
 * @returns {Values} */
export function usual(site) {
  const names = Object.keys(site.settings);
  return Object.fromEntries(names.map((name) => [name, ruleOf(name, site).default ?? 0]));
}

/** Return those settings that are not the default: what ugpt.json says.
 * @param {Values} values
 * @param {Site} site
 * @returns {Values} */
export function unusual(values, site) {
  const entries = Object.entries(values).filter(([name, value]) => value !== ruleOf(name, site).default);
  return Object.fromEntries(entries);
}
