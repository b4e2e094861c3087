// The image of a board's flash, fetched and checked; and other documents and settings put into it.

import { grouped } from "../../common/text.js";

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
  return (await get(address)).json();
}

/** Fetch a manifest and its image.
 * @param {string} address of the manifest
 * @returns {Promise<{manifest: Manifest, image: Uint8Array<ArrayBuffer>}>} */
export async function fetchImage(address) {
  const manifest = await fetchManifest(address);
  const { path } = manifest.builds[0].parts[0];
  const file = new URL(path, new URL(address, document.baseURI)).href;
  const image = new Uint8Array(await (await get(file)).arrayBuffer());
  await check(image, manifest);
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
export async function check(image, manifest) {
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", image));
  const found = [...digest].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  if (image.length !== manifest.size || found !== manifest.sha256)
    throw new ImageError(
      `The image of ${manifest.board.name} on this site is damaged or belongs to another manifest.json: ` +
        "whoever builds the site copies both again.",
    );
}

/** Return the settings that differ from the default, in the order of ugpt.app.SETTINGS.
 * @param {Record<string, any>} settings
 * @param {Record<string, {default: any}>} known site.json's settings
 * @returns {Record<string, number|boolean>} */
export function given(settings, known) {
  const names = Object.keys(known).filter((name) => (settings[name] ?? null) !== null);
  return Object.fromEntries(
    names.filter((name) => settings[name] !== known[name].default).map((name) => [name, settings[name]]),
  );
}

/** Return ugpt.json with these settings, as microgpt-board writes it, filled up with spaces to `size` bytes.
 * @param {Record<string, number|boolean>} settings
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
 * @param {Record<string, number|boolean>} settings
 * @returns {Uint8Array<ArrayBuffer>} */
export function withOwn(image, manifest, names, settings) {
  checkNames(names, manifest);
  const changed = new Uint8Array(image);
  const { offset, size } = manifest.names;
  changed.fill(BLANK, offset, offset + size).set(names, offset);
  changed.set(settingsFile(settings, manifest.settings.size), manifest.settings.offset);
  return changed;
}
