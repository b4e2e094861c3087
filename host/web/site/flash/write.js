// Write an image to a board with the flash() of ESP Web Tools, and verify it. Loaded when it is first used.

import { md5 } from "@noble/hashes/legacy.js";
import { bytesToHex } from "@noble/hashes/utils.js";
import { flash } from "esp-web-tools/dist/flash.js";

/** @typedef {import("./image.js").Manifest} Manifest */

/** Why an image is not on the board.
 * "port": the port cannot be opened; "connect": no chip answers in download mode; "chip": it is another than
 * the image is for; "small": its flash is too small; "unplugged"; "write": what was written did not arrive.
 * @typedef {"port"|"connect"|"chip"|"small"|"unplugged"|"write"} Kind */

export class FlashFailure extends Error {
  /** @param {Kind} kind
   * @param {string} [detail] */
  constructor(kind, detail = "") {
    super(detail);
    this.kind = kind;
    this.detail = detail;
  }
}

/** @typedef {object} Watcher
 * @property {(phase: "connecting"|"erasing"|"writing"|"verifying", percent: number|null) => void} on
 *   what is done now
 * @property {(line: string) => void} log what esptool-js says */

const FAST = 460800; // baud; every USB chip of these boards has it
const SLOW = 115200;
const LEAVE_MS = 3000; // that flash() has to close the port after an error
const UNITS = { KB: 2 ** 10, MB: 2 ** 20 };

/** Write an image; a transmission that fails is tried once more, slower. Throws FlashFailure.
 * @param {SerialPort} port
 * @param {Uint8Array<ArrayBuffer>} image
 * @param {Manifest} manifest
 * @param {boolean} erase everything first
 * @param {Watcher} watcher */
export async function write(port, image, manifest, erase, watcher) {
  try {
    await attempt(port, image, manifest, erase, watcher, FAST);
  } catch (error) {
    if (!(error instanceof FlashFailure) || error.kind !== "write") throw error;
    watcher.log(`${error.detail}: once more at ${SLOW} baud`);
    await attempt(port, image, manifest, erase, watcher, SLOW);
  }
}

/** @param {SerialPort} port
 * @param {Uint8Array<ArrayBuffer>} image
 * @param {Manifest} manifest
 * @param {boolean} erase
 * @param {Watcher} watcher
 * @param {number} baud */
async function attempt(port, image, manifest, erase, watcher, baud) {
  const address = URL.createObjectURL(new Blob([image]));
  const builds = manifest.builds.map((one) => ({ ...one, parts: [{ path: address, offset: 0 }] }));
  const work = new Work(image, watcher, baud);
  /** @type {() => void} */
  let unplugged = () => {};
  const lost = new Promise((_, reject) => {
    unplugged = () => reject(new FlashFailure("unplugged"));
    port.addEventListener("disconnect", unplugged);
  });
  try {
    const events = /** @type {any} */ ((/** @type {any} */ state) => work.hear(state));
    const flashing = flash(events, port, address, /** @type {any} */ ({ ...manifest, builds }), erase);
    await Promise.race([work.failed, flashing, lost]).catch((error) => work.fail(error));
    if (!work.failure) return;
    if (work.failure.kind === "unplugged") flashing.catch(() => {});
    else await Promise.race([flashing.catch(() => work.leave()), sleep(LEAVE_MS), lost.catch(() => {})]);
    throw work.failure;
  } finally {
    lost.catch(() => {});
    port.removeEventListener("disconnect", unplugged);
    URL.revokeObjectURL(address);
    delete /** @type {any} */ (globalThis).esploader;
  }
}

/** @param {number} ms */
function sleep(ms) {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** One call of flash(): its events, and the loader, which it puts into `window.esploader`. */
class Work {
  /** @type {FlashFailure|null} */
  failure = null;
  /** @type {any} */
  #loader = null;
  #flash = 0; // bytes of the board's flash; 0: not known
  #changed = false; // the baud rate
  /** @type {() => void} */
  #failing = () => {};

  /** @param {Uint8Array} image
   * @param {Watcher} watcher
   * @param {number} baud */
  constructor(image, watcher, baud) {
    this.image = image;
    this.watcher = watcher;
    this.baud = baud;
    /** resolved at the first failure, after which flash() has only to close the port */
    this.failed = new Promise((resolve) => (this.#failing = () => resolve(null)));
  }

  /** Note why it failed; the first reason counts.
   * @param {unknown} error */
  fail(error) {
    const text = error instanceof Error ? error.message : String(error);
    this.failure ??= error instanceof FlashFailure ? error : new FlashFailure("write", text);
    this.#failing();
  }

  /** Reset the board and close the port, where flash() ended without.
   * @returns {Promise<void>} */
  async leave() {
    const { transport } = this.#loader;
    await transport.setRTS(true).catch(() => {});
    await this.#loader.after().catch(() => {});
    await transport.disconnect().catch(() => {});
  }

  /** Take an event of flash().
   * @param {any} state */
  hear({ state, details, chipFamily }) {
    if (state === "initializing" && !details.done) this.#begin();
    else if (state === "initializing") this.#found();
    else if (state === "erasing") this.watcher.on("erasing", null);
    else if (state === "writing" && details.percentage < 100) this.watcher.on("writing", details.percentage);
    else if (state === "error") this.fail(this.#reason(details, chipFamily));
  }

  /** The loader is there and has done nothing yet. */
  #begin() {
    this.#loader = /** @type {any} */ (globalThis).esploader;
    this.#loader.baudrate = this.baud;
    const terminal = { clean() {}, write: this.#say, writeLine: this.#say };
    this.#loader.terminal = terminal;
    this.watcher.on("connecting", null);
  }

  /** @param {string} text */
  #say = (text) => {
    if (text.startsWith("Changing baudrate")) this.#changed = true;
    const size = /^Detected flash size: (\d+)(KB|MB)$/.exec(text);
    if (size) this.#flash = Number(size[1]) * UNITS[/** @type {"KB"|"MB"} */ (size[2])];
    if (text.trim()) this.watcher.log(text.trim());
  };

  /** The chip has answered: look at its flash, and let the loader verify what it will write. */
  #found() {
    if (this.#flash && this.#flash < this.image.length) throw new FlashFailure("small");
    const writeFlash = this.#loader.writeFlash.bind(this.#loader);
    this.#loader.writeFlash = (/** @type {any} */ options) =>
      writeFlash({
        ...options,
        // SHA-256 is not among what a board computes over its flash.
        calculateMD5Hash: (/** @type {Uint8Array} */ data) => bytesToHex(md5(data)),
        reportProgress: (/** @type {number[]} */ ...[file, done, all]) => {
          options.reportProgress(file, done, all);
          if (done === all) this.watcher.on("verifying", null);
        },
      });
  }

  /** @param {{error: string, details: any}} details
   * @param {string} chip
   * @returns {FlashFailure} */
  #reason({ error, details }, chip) {
    const text = details instanceof Error ? details.message : String(details);
    if (error === "not_supported") return new FlashFailure("chip", chip);
    if (error !== "failed_initialize" || this.#changed) return new FlashFailure("write", text);
    return new FlashFailure(details instanceof DOMException ? "port" : "connect", text);
  }
}
