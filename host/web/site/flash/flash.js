// The tab that writes a board: which image, with whose documents, how far it is, and what to do if it fails.

import { byId, make, messageOf } from "../../common/elements.js";
import { counted, grouped } from "../../common/text.js";
import { TITLES } from "../model/values.js";
import { goToTab } from "../tabs.js";
import { sizesOf } from "../try/session.js";
import { shortly } from "../try/settings.js";
import { advice, noPort, system } from "./advice.js";
import { checkNames, fetchImage, fetchManifest, ImageError, settingsOf, withOwn } from "./image.js";

/** @typedef {import("./image.js").Manifest} Manifest
 * @typedef {import("../try/session.js").Session} Session
 * @typedef {import("../try/session.js").Draft} Draft
 * @typedef {{board: string, manifest: string}} Image
 * @typedef {import("../model/values.js").Site & {images: Image[]}} Facts
 * @typedef {ReturnType<typeof import("../watch/watch.js").startWatch>} Watch */

/** Return an element of this tab.
 * @template {new () => Element} [K=typeof HTMLElement]
 * @param {string} name
 * @param {K} [kind] */
const the = (name, kind) => byId(`flash-${name}`, kind);

const PHASES = {
  fetching: "Fetching the image",
  connecting: "Connecting to the board",
  erasing: "Erasing the flash: this can take a minute",
  writing: "Writing: leave the board plugged in",
  verifying: "Comparing the flash with the image",
};
const MAX_LINES = 500; // of the loader's

/** Start the tab.
 * @param {Record<string, any>} facts site.json
 * @param {Session} session whose documents and settings can go into the image
 * @param {Watch} watch which shows the board afterwards */
export function startFlash(facts, session, watch) {
  const site = /** @type {Facts} */ (facts);
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

/** @param {string} text */
const item = (text) => make("li", {}, text);

/** The form, and one board at a time that is being written. */
class Flash {
  #busy = false;
  /** @type {Manifest|null} of the image that is chosen */
  #manifest = null;
  #looks = 0; // number of the newest look at what is chosen

  /** @type {Map<string, Promise<Manifest>>} by address */
  #manifests = new Map();

  /** @param {Facts} site
   * @param {Session} session
   * @param {Watch} watch */
  constructor(site, session, watch) {
    this.site = site;
    this.session = session;
    this.watch = watch;
    const about = new Map(site.boards.map((board) => [board.name, board]));
    const chips = new Set();
    for (const { board } of site.images) {
      const { title, chip_family } = about.get(board) ?? { title: board, chip_family: board };
      the("board", HTMLSelectElement).append(new Option(`${title} (${board})`, board));
      chips.add(chip_family);
    }
    the("chips").textContent = [...chips].join(" or ");
    the("form").addEventListener("submit", (event) => {
      event.preventDefault();
      void this.#write();
    });
    the("form").addEventListener("change", () => void this.#look());
    session.on("names", () => void this.#look());
    document.getElementById("flash")?.addEventListener("shown", () => void this.#look());
    addEventListener("beforeunload", (event) => this.#busy && event.preventDefault());
    void this.#look();
  }

  /** @returns {Image} */
  get #image() {
    const { value } = the("board", HTMLSelectElement);
    return this.site.images.find(({ board }) => board === value) ?? this.site.images[0];
  }

  /** @returns {boolean} */
  get #own() {
    return the("own", HTMLInputElement).checked;
  }

  /** Look at what is chosen, and say why it cannot be written, if so. */
  async #look() {
    const number = ++this.#looks;
    let [summary, refusal] = ["", ""];
    try {
      this.#manifest = await this.#about(this.#image.manifest);
      if (this.#own) {
        const draft = this.#draft();
        summary = this.#summary(draft, this.#manifest);
        await this.#check(draft, this.#manifest);
      }
    } catch (error) {
      refusal = messageOf(error);
    }
    if (number !== this.#looks) return;
    the("summary").textContent = summary;
    the("refusal").textContent = refusal;
    const able = !this.#busy && !refusal && "serial" in navigator;
    the("start", HTMLButtonElement).disabled = !able;
  }

  /** Return the manifest at an address, which is fetched once.
   * @param {string} address
   * @returns {Promise<Manifest>} */
  #about(address) {
    const known = this.#manifests.get(address) ?? fetchManifest(address);
    this.#manifests.set(address, known);
    known.catch(() => this.#manifests.delete(address));
    return known;
  }

  /** Return the documents and settings that the tab Try has now.
   * @returns {Draft} */
  #draft() {
    const { draft } = this.session;
    if (!draft) throw new ImageError("The tab Try has no documents or settings that can be used.");
    return draft;
  }

  /** Return documents and settings in words.
   * @param {Draft} draft
   * @param {Manifest} manifest
   * @returns {string} */
  #summary({ made, source, values }, manifest) {
    const preset = this.site.presets.find(({ name }) => name === source.name);
    const name = (source.kind === "preset" && preset?.title) || source.name || "Own text";
    const settings = Object.entries(settingsOf(values, this.site));
    const said = settings.map(([key, value]) => `${TITLES[key] ?? key} ${value}`).join(", ");
    const count = counted(made.documents, "document");
    const room = `${grouped(made.data.length)} of ${grouped(manifest.names.size)} bytes`;
    return `${name}: ${count}, ${room}. Settings: ${said || "the default ones"}.`;
  }

  /** Throw an error if documents or settings are not for a board.
   * @param {Draft} draft
   * @param {Manifest} manifest */
  async #check(draft, manifest) {
    checkNames(draft.made.data, manifest);
    const board = await this.session.idle();
    const { refusals } = await board.check(sizesOf(draft), [manifest.board]);
    const refusal = refusals[manifest.board.name];
    const what = `For ${manifest.board.name}, ${shortly(refusal)}: the tab Try offers sizes that fit.`;
    if (refusal) throw new ImageError(what);
  }

  /** Let the person choose a port, and write the board at it. */
  async #write() {
    if (this.#busy) return;
    this.#fail(null);
    let draft = null;
    let port;
    try {
      if (this.#own) draft = this.#draft();
      port = await navigator.serial.requestPort();
    } catch (error) {
      if (error instanceof ImageError) return void this.#look(); // says so
      the("no-port", HTMLDetailsElement).open = true;
      this.#fail(advice("cancelled", "", this.#manifest, system()));
      return;
    }
    this.#begin();
    try {
      await this.watch.release(port);
      this.#show("fetching", null);
      let { manifest, image } = await fetchImage(this.#image.manifest);
      if (draft) {
        await this.#check(draft, manifest);
        const settings = settingsOf(draft.values, this.site);
        image = withOwn(image, manifest, draft.made.data, settings);
      }
      const { write } = await import("./write.js");
      const erase = the("erase", HTMLInputElement).checked;
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
    the("no-port", HTMLDetailsElement).open = false;
  }

  /** @param {string} said */
  #end(said) {
    this.#busy = false;
    for (const field of fields()) field.disabled = false;
    the("progress").hidden = !said;
    the("state").textContent = said;
    the("percent").textContent = "";
    the("bar", HTMLProgressElement).value = 100;
    void this.#look();
  }

  /** Show what is being done.
   * @param {keyof typeof PHASES} phase
   * @param {number|null} percent */
  #show = (phase, percent) => {
    const bar = the("bar", HTMLProgressElement);
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
