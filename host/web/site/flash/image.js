// The image of a board's flash, fetched and checked; and other documents and settings put into it.

import { grouped } from "../../common/text.js";
import { sha256 } from "../data/hashes.js";
import { unusual } from "../model/values.js";

/** @typedef {import("../model/values.js").Site} Site
 * @typedef {import("../model/values.js").Values} Values */

/** Where something is in the image, in bytes.
 * @typedef {{offset: number, size: number}} Place */

/** What `microgpt-board image` writes beside an image: the manifest of ESP Web Tools, and more.
 * @typedef {object} Manifest
 * @property {string} name
 * @property {string} version
 * @property {{chipFamily: string, parts: {path: string, offset: number}[]}[]} builds
 * @property {{name: string, free: number, piece: number}} board and its free memory, in bytes
 * @property {number} size of the image
 * @property {string} sha256 of the image
 * @property {Place} names
 * @property {Place} settings */

/** Other settings or documents cannot be put into an image, or an image is damaged; the message says why. */
export class ImageError extends Error {}

const BLANK = 0xff; // what erased flash reads as

/** Fetch the manifest of an image.
 * @param {string} address
 * @returns {Promise<Manifest>} */
export async function fetchManifest(address) {
  const manifest = await (await get(address)).json().catch(() => null);
  const path = manifest?.builds?.[0]?.parts?.[0]?.path;
  const numbers = [manifest?.names, manifest?.settings].flatMap((place) => [place?.offset, place?.size]);
  if (typeof path !== "string" || !manifest.board || !numbers.every(Number.isInteger))
    throw new ImageError(`The manifest ${address} on this site is damaged: whoever builds it copies it again.`);
  return manifest;
}

/** Fetch a manifest and its image.
 * @param {string} address of the manifest
 * @returns {Promise<{manifest: Manifest, image: Uint8Array<ArrayBuffer>}>} */
export async function fetchImage(address) {
  const manifest = await fetchManifest(address);
  const { path } = manifest.builds[0].parts[0];
  const file = new URL(path, new URL(address, document.baseURI)).href;
  const image = new Uint8Array(await (await get(file)).arrayBuffer());
  check(image, manifest);
  return { manifest, image };
}

/** @param {string} address
 * @returns {Promise<Response>} */
async function get(address) {
  const answer = await fetch(address).catch(() => null);
  if (answer?.ok) return answer;
  const why = answer ? `the server answers ${answer.status}` : "there is no answer";
  throw new ImageError(`The image cannot be fetched from ${address}: ${why}.`);
}

/** Throw ImageError if an image is not the one that its manifest is about.
 * @param {Uint8Array<ArrayBuffer>} image
 * @param {Manifest} manifest */
export function check(image, manifest) {
  if (image.length !== manifest.size || sha256(image) !== manifest.sha256)
    throw new ImageError(
      `The image of ${manifest.board.name} on this site is damaged or belongs to another manifest.json: ` +
        "whoever builds the site copies both again.",
    );
}

/** Return the settings that are not the default, in the order of ugpt.app.SETTINGS.
 * @param {Values} values
 * @param {Site} site
 * @returns {Values} */
export function settingsOf(values, site) {
  const changed = unusual(values, site);
  const names = Object.keys(site.settings).filter((name) => name in changed);
  return Object.fromEntries(names.map((name) => [name, changed[name]]));
}

/** Return ugpt.json with these settings, as microgpt-board writes it, filled up with spaces to `size` bytes.
 * @param {Values} settings
 * @param {number} size
 * @returns {Uint8Array<ArrayBuffer>} */
export function settingsFile(settings, size) {
  const pairs = Object.entries(settings).map(([name, value]) => `${JSON.stringify(name)}: ${value}`);
  const content = new TextEncoder().encode(`{${pairs.join(", ")}}`);
  if (content.length > size)
    throw new ImageError(`The settings take ${content.length} bytes, the image has room for ${size}.`);
  const file = new Uint8Array(size).fill(" ".charCodeAt(0));
  file.set(content);
  return file;
}

/** Throw ImageError if the partition for the documents is too small for them.
 * @param {Uint8Array} names
 * @param {Manifest} manifest */
export function checkNames(names, manifest) {
  const { size } = manifest.names;
  if (names.length > size)
    throw new ImageError(
      `The documents take ${grouped(names.length)} bytes, the board has room for ${grouped(size)}: ` +
        "use fewer documents, or a smaller block size.",
    );
}

/** Return the image with these documents and these settings in place of its own.
 * @param {Uint8Array} image
 * @param {Manifest} manifest
 * @param {Uint8Array} names the bytes of names.bin
 * @param {Values} settings
 * @returns {Uint8Array<ArrayBuffer>} */
export function withOwn(image, manifest, names, settings) {
  checkNames(names, manifest);
  const changed = new Uint8Array(image);
  const { offset, size } = manifest.names;
  changed.fill(BLANK, offset, offset + size).set(names, offset);
  changed.set(settingsFile(settings, manifest.settings.size), manifest.settings.offset);
  return changed;
}
