// A run as a link: what makes the same model again on another machine, to the bit.
//
// #try?NAME=VALUE&... with every setting of the run (switches as 0 or 1), and
//   list=NAME of a list of the site, or own=NAME of the person's own text, which the link does not carry
//   fold=1, cut=1, max_characters=N as far as they were given: how the lines became documents
//   sha256=HEX of names.bin, so that the page can say whether it has the same documents
//   version=VERSION of the program, kernels=native or portable: others round otherwise
// It comes after the #, so a browser sends it to no server.

import { TITLES, allowed, usual, valueOf } from "./values.js";

/** @typedef {import("./values.js").Site} Site
 * @typedef {import("./values.js").Values} Values
 * @typedef {import("../data/names_bin.js").How} How
 * @typedef {{kind: "preset"|"own", name: string, sha256: string}} Source
 * @typedef {{settings: Values, how: How, source: Source, version: string, kernels: string}} Run
 *   `version` and `kernels` are "" where a link does not say */

const TAB = "try";
const LEFT_OUT = ["save_every_s"]; // changes nothing here: a tab saves no checkpoints
const WAYS = ["fold", "cut"];
const OTHERS = ["list", "own", "sha256", "version", "kernels", "max_characters"];
const LONGEST_NAME = 100; // characters of a file's name
const MOST_PROBLEMS = 5;

/** Return the part of the address from # on that makes this run again.
 * @param {Run} run
 * @returns {string} */
export function write({ settings, how, source, version, kernels }) {
  const fields = new URLSearchParams();
  for (const [name, value] of Object.entries(settings)) {
    if (!LEFT_OUT.includes(name)) fields.set(name, String(Number(value)));
  }
  fields.set(source.kind === "preset" ? "list" : "own", source.name);
  if (how.fold) fields.set("fold", "1");
  if (how.cut) fields.set("cut", "1");
  if (how.max_characters) fields.set("max_characters", String(how.max_characters));
  fields.set("sha256", source.sha256);
  fields.set("version", version);
  if (kernels) fields.set("kernels", kernels);
  return `#${TAB}?${fields}`;
}

/** Return the run in the part of an address from # on, and a line about each field that is of no use.
 *
 * What is missing is the default; null if the address is no link to a run.
 * @param {string} hash
 * @param {Site} site
 * @returns {{run: Run, problems: string[]}|null} */
export function read(hash, site) {
  const text = hash.startsWith(`#${TAB}?`) ? hash.slice(TAB.length + 2) : "";
  if (!text) return null;
  const fields = new URLSearchParams(text);
  const settings = usual(site);
  /** @type {string[]} */
  const problems = [];
  for (const name of Object.keys(settings).filter((each) => fields.has(each))) {
    const value = valueOf(name, fields.get(name) ?? "", site);
    if (value === null) {
      const used = shown(String(Number(settings[name])));
      const given = shown(fields.get(name));
      problems.push(`${TITLES[name] ?? name} must be ${allowed(name, site)}, not ${given}: it is ${used}`);
    } else {
      settings[name] = value;
    }
  }
  for (const name of new Set(fields.keys())) {
    const known = Object.hasOwn(settings, name) || WAYS.includes(name) || OTHERS.includes(name);
    if (!known) problems.push(`${shown(name)} is no setting of this version`);
    else if (fields.getAll(name).length > 1) problems.push(`${name} is there twice: the first one counts`);
  }
  const { how, lines } = readHow(fields, site);
  const source = readSource(fields, site);
  problems.push(...lines, ...source.lines);
  const more = problems.length - MOST_PROBLEMS;
  if (more > 0) problems.splice(MOST_PROBLEMS, more, `${more} more of its fields are of no use`);
  const [version, kernels] = ["version", "kernels"].map((name) => shown(fields.get(name)));
  return { run: { settings, how, source: source.source, version, kernels }, problems };
}

/** @param {URLSearchParams} fields
 * @param {Site} site */
function readHow(fields, site) {
  /** @type {How} */
  const how = { fold: fields.get("fold") === "1", cut: fields.get("cut") === "1", max_characters: null };
  const lines = [];
  const given = fields.get("max_characters");
  const { max_characters: highest } = site.names_format;
  if (given !== null) {
    const value = Number(given);
    if (/^\d{1,3}$/.test(given) && value >= 1 && value <= highest) how.max_characters = value;
    else lines.push(`${TITLES.max_characters} must be a number from 1 to ${highest}, not ${shown(given)}`);
  }
  return { how, lines };
}

/** @param {URLSearchParams} fields
 * @param {Site} site
 * @returns {{source: Source, lines: string[]}} */
function readSource(fields, site) {
  const lines = [];
  const given = fields.get("sha256") ?? "";
  const sha256 = /^[0-9a-f]{64}$/.test(given) ? given : "";
  if (given && !sha256) lines.push(`its SHA-256 is damaged: ${shown(given)}`);
  const own = fields.get("own");
  if (own !== null) return { source: { kind: "own", name: own.slice(0, LONGEST_NAME), sha256 }, lines };
  const first = site.presets[0].name;
  const wanted = fields.get("list") ?? first;
  const name = site.presets.some((preset) => preset.name === wanted) ? wanted : first;
  if (name !== wanted) lines.push(`no list here is called ${shown(wanted)}: it is ${name}`);
  return { source: { kind: "preset", name, sha256 }, lines };
}

/** Return a value of a link, as far as it fits a line; what would break or turn the line is a blank.
 * @param {string|null} text */
export function shown(text) {
  const plain = (text ?? "").slice(0, 2 * LONGEST_NAME).replace(/[\p{C}\u2028\u2029]/gu, " ");
  return plain.length > LONGEST_NAME ? `${plain.slice(0, LONGEST_NAME)}…` : plain;
}
