// The tab that writes a board: which image, with whose documents, how far it is, and what to do if it fails.

import { grouped } from "../../common/text.js";
import { goToTab } from "../tabs.js";
import { advice, noPort, system } from "./advice.js";
import { checkNames, fetchImage, fetchManifest, given, ImageError, withOwn } from "./image.js";

/** @typedef {import("./image.js").Manifest} Manifest
 * @typedef {{board: string, manifest: string}} Image */

/** @template {HTMLElement} T
 * @param {string} id
 * @returns {T} */
const the = (id) => /** @type {T} */ (document.getElementById(`flash-${id}`));

const PHASES = {
  fetching: "Fetching the image",
  connecting: "Connecting to the board",
  erasing: "Erasing the flash: this can take a minute",
  writing: "Writing: leave the board plugged in",
  verifying: "Comparing the flash with the image",
};
const MAX_LINES = 500; // of the loader's

/** Start the tab.
 * @param {Record<string, any>} site site.json
 * @param {any} session what the tab Try has: `run`, `board`, events
 * @param {any} watch what shows a board, by `watchPort(port)` */
export function startFlash(site, session, watch) {
  the("hints").append(...noPort(system()).map(item));
  if (!("serial" in navigator)) sayWhatIsMissing();
  the("none").hidden = site.images.length > 0;
  the("cards").hidden = site.images.length === 0;
  if (site.images.length) new Flash(site, session, watch);
}

/** Say that this browser cannot write a board, and which can. */
function sayWhatIsMissing() {
  const browsers =
    "This browser cannot write a board: it has no Web Serial. Open this page in Chrome, Edge or another " +
    "browser that has it, on a computer.";
  const address =
    "A page may write a board only if it comes over https or from this computer itself (localhost), " +
    "and this page does not.";
  the("unable").textContent = isSecureContext ? browsers : address;
  the("unable").hidden = false;
}

/** @param {string} text
 * @returns {HTMLLIElement} */
function item(text) {
  const element = document.createElement("li");
  element.textContent = text;
  return element;
}

/** The form, and one board at a time that is being written. */
class Flash {
  #busy = false;
  /** @type {Manifest|null} of the image that is chosen */
  #manifest = null;
  #looks = 0; // number of the newest look at what is chosen

  /** @param {Record<string, any>} site
   * @param {any} session
   * @param {any} watch */
  constructor(site, session, watch) {
    this.site = site;
    this.session = session;
    this.watch = watch;
    const about = new Map(site.boards.map((/** @type {any} */ board) => [board.name, board]));
    const chips = new Set();
    for (const { board } of site.images) {
      const { title, chip_family } = about.get(board) ?? { title: board, chip_family: board };
      /** @type {HTMLSelectElement} */ (the("board")).append(new Option(`${title} (${board})`, board));
      chips.add(chip_family);
    }
    the("chips").textContent = [...chips].join(" or ");
    the("form").addEventListener("submit", (event) => {
      event.preventDefault();
      void this.#write();
    });
    the("form").addEventListener("change", () => void this.#look());
    for (const event of ["board", "names"]) session.on?.(event, () => void this.#look());
    addEventListener("beforeunload", (event) => this.#busy && event.preventDefault());
    void this.#look();
  }

  /** @returns {Image} */
  get #image() {
    const { value } = /** @type {HTMLSelectElement} */ (the("board"));
    return this.site.images.find((/** @type {Image} */ image) => image.board === value);
  }

  /** @returns {boolean} */
  get #own() {
    return /** @type {HTMLInputElement} */ (the("own")).checked;
  }

  /** Look at what is chosen, and say why it cannot be written, if so. */
  async #look() {
    const number = ++this.#looks;
    let [summary, refusal] = ["", ""];
    try {
      this.#manifest = await fetchManifest(this.#image.manifest);
      if (this.#own) {
        summary = this.#summary(this.session.run);
        await this.#check(this.session.run, this.#manifest);
      }
    } catch (error) {
      refusal = messageOf(error);
    }
    if (number !== this.#looks) return;
    the("summary").textContent = summary;
    the("refusal").textContent = refusal;
    const able = !this.#busy && !refusal && "serial" in navigator;
    /** @type {HTMLButtonElement} */ (the("start")).disabled = !able;
  }

  /** Return the documents and settings of a run in words.
   * @param {any} run
   * @returns {string} */
  #summary(run) {
    if (!run?.names) return "";
    const settings = Object.entries(given(run.settings, this.site.settings));
    const said = settings.map(([name, value]) => `${name} ${value}`).join(", ");
    const what = run.source?.name ?? "own text";
    return `${what}: ${grouped(run.names.length)} bytes; ${said || "default settings"}.`;
  }

  /** Throw an error if documents or settings are not for a board.
   * @param {any} run
   * @param {Manifest} manifest */
  async #check(run, manifest) {
    if (!run?.names) throw new ImageError("There are no documents in the tab Try yet.");
    checkNames(run.names, manifest);
    const { board } = this.session;
    if (!board?.facts) throw new ImageError("There is no model in the tab Try yet.");
    const { refusals } = await board.check(board.facts.sizes, [manifest.board]);
    const refusal = refusals[manifest.board.name];
    if (refusal) throw new ImageError(refusal);
  }

  /** Let the person choose a port, and write the board at it. */
  async #write() {
    if (this.#busy) return;
    const run = this.#own ? this.session.run : null;
    this.#fail(null);
    let port;
    try {
      port = await navigator.serial.requestPort();
    } catch {
      /** @type {HTMLDetailsElement} */ (the("no-port")).open = true;
      this.#fail(advice("cancelled", "", this.#manifest, system()));
      return;
    }
    this.#begin();
    try {
      await this.watch.release?.(port);
      this.#show("fetching", null);
      let { manifest, image } = await fetchImage(this.#image.manifest);
      if (run) {
        await this.#check(run, manifest);
        image = withOwn(image, manifest, run.names, given(run.settings, this.site.settings));
      }
      const { write } = await import("./write.js");
      const erase = /** @type {HTMLInputElement} */ (the("erase")).checked;
      await write(port, image, manifest, erase, { on: this.#show, log: this.#log });
    } catch (error) {
      this.#end("");
      this.#fail(this.#adviceOn(error));
      return;
    }
    this.#end("The board is written, and starts.");
    goToTab("watch");
    await this.watch.watchPort(port);
  }

  /** @param {any} error
   * @returns {import("./advice.js").Advice} */
  #adviceOn(error) {
    if (error?.kind) return advice(error.kind, error.detail, this.#manifest, system());
    if (!(error instanceof ImageError)) console.error(error);
    return { title: messageOf(error), steps: [] };
  }

  #begin() {
    this.#busy = true;
    for (const field of fields()) field.disabled = true;
    the("progress").hidden = the("details").hidden = false;
    the("log").textContent = "";
  }

  /** @param {string} said */
  #end(said) {
    this.#busy = false;
    for (const field of fields()) field.disabled = false;
    the("progress").hidden = !said;
    the("state").textContent = said;
    the("percent").textContent = "";
    /** @type {HTMLProgressElement} */ (the("bar")).value = 100;
    void this.#look();
  }

  /** Show what is being done.
   * @param {keyof typeof PHASES} phase
   * @param {number|null} percent */
  #show = (phase, percent) => {
    const bar = /** @type {HTMLProgressElement} */ (the("bar"));
    const said = PHASES[phase];
    if (the("state").textContent !== said) the("state").textContent = said; // said aloud when it changes
    the("percent").textContent = percent === null ? "" : `${percent} %`;
    if (percent === null) bar.removeAttribute("value");
    else bar.value = percent;
  };

  /** Show a line of the loader.
   * @param {string} line */
  #log = (line) => {
    const log = the("log");
    log.append(`${line}\n`);
    while (log.childNodes.length > MAX_LINES) log.firstChild?.remove();
    log.scrollTop = log.scrollHeight;
  };

  /** Say what went wrong and what to do, or clear that.
   * @param {import("./advice.js").Advice|null} advice */
  #fail(advice) {
    the("failure-title").textContent = advice?.title ?? "";
    the("failure-steps").replaceChildren(...(advice?.steps ?? []).map(item));
    the("failure").hidden = !advice;
  }
}

/** @returns {HTMLInputElement[]} */
function fields() {
  return /** @type {any} */ ([...the("form").querySelectorAll("select, input, button")]);
}

/** @param {unknown} error
 * @returns {string} */
function messageOf(error) {
  return error instanceof Error ? error.message : String(error);
}
