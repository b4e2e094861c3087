// The tab that watches a board: its port, its log, its runs, and what a person tells it to train.

import { make, messageOf } from "../../common/elements.js";
import { Lines, legible, parse } from "../../common/log.js";
import { grouped } from "../../common/text.js";
import { noPort, system } from "../flash/advice.js";
import { Prompt, RUN, readValues, trainingCode } from "./repl.js";
import { Recorder } from "./run_folder.js";
import { SerialLine } from "./serial.js";
import { View, the } from "./view.js";

/** @typedef {import("../model/values.js").Site} Site */

const SILENCE = 10_000; // ms without a byte after which the page says what to do
const NO_PROGRAM = /^ImportError.*ugpt/;
const PUT_ON = "This board has MicroPython, but not the program: put it on in the tab Flash.";
const BROWSERS =
  "This browser cannot watch a board: it has no Web Serial. Chrome, Edge, Opera and other browsers made of " +
  "Chromium have it, and Firefox of late, on a computer with Windows, macOS, Linux or ChromeOS. Without a " +
  "browser, make monitor shows and records the same.";
const ADDRESS =
  "A page may use serial ports only if nobody can change it on its way: it must come over https, or from " +
  "this computer itself (http://localhost, as make site-serve has it). This page did not.";

/**
 * Start the tab. Returns what the tab Flash uses: `watchPort(port)` shows the board at a port that is
 * permitted, `release(port)` leaves that port to the caller.
 * @param {Site} site
 * @returns {{watchPort: (port: SerialPort) => Promise<void>, release: (port: SerialPort) => Promise<void>}}
 */
export function startWatch(site) {
  the("hints").append(...noPort(system()).map((hint) => make("li", {}, hint)));
  if ("serial" in navigator) return new Watch(site);
  the("unable").textContent = isSecureContext ? BROWSERS : ADDRESS;
  the("unable").hidden = false;
  the("cards").hidden = true;
  return { watchPort: async () => {}, release: async () => {} };
}

/** A board, from its bytes to the page. */
class Watch {
  /** @param {Site} site */
  constructor(site) {
    this.site = site;
    this.line = new SerialLine();
    this.prompt = new Prompt(this.line);
    this.recorder = new Recorder();
    this.lines = new Lines(site.log);
    this.view = new View(this.recorder, () => this.environment());
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    this.silence = undefined;
    /** @param {(detail: any) => void} f */
    const detail = (f) => (/** @type {Event} */ event) => f(/** @type {CustomEvent} */ (event).detail);
    this.line.addEventListener("data", detail((bytes) => this.hear(bytes)));
    this.line.addEventListener("state", detail((state) => this.change(state)));
    the("connect").addEventListener("click", () => this.attempt("error", () => this.line.choose()));
    the("disconnect").addEventListener("click", () => this.line.close());
    the("form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.train();
    });
    the("stop").addEventListener("click", () =>
      this.tell("Stopping…", () => this.prompt.stop(), "The board has stopped."),
    );
    the("restart").addEventListener("click", () =>
      this.tell("Restarting…", () => this.prompt.restart(), "The board's program starts."),
    );
    for (const name of RUN) {
      the(name).addEventListener("input", () => this.complain(name, ""));
    }
  }

  /** @param {SerialPort} port */
  async watchPort(port) {
    await this.attempt("error", () => this.line.open(port));
  }

  /** @param {SerialPort} port */
  async release(port) {
    await this.line.release(port);
  }

  /** What recorded a run, for its run.json. */
  environment() {
    return {
      "microgpt-esp32": this.site.version,
      browser: navigator.userAgent,
      cores: navigator.hardwareConcurrency,
    };
  }

  /** @param {Uint8Array} bytes */
  hear(bytes) {
    this.wait();
    for (const line of this.lines.push(bytes)) {
      const event = parse(line, this.site.log);
      if (event) this.recorder.take(event);
      this.view.take(legible(line), event);
    }
  }

  /** @param {string} state of the line */
  change(state) {
    this.lines = new Lines(this.site.log); // half a line from before is noise
    if (state === "interrupted") return;
    if (state === "open") this.recorder.port = portName(this.line.port);
    if (state === "closed") this.recorder.finish();
    the("error").textContent = "";
    this.view.connected(/** @type {"closed" | "open" | "gone"} */ (state));
    this.wait();
  }

  /** Say so if the board is silent for long. */
  wait() {
    clearTimeout(this.silence);
    this.view.silent(false);
    if (this.line.state === "open") this.silence = setTimeout(() => this.view.silent(true), SILENCE);
  }

  /** Check what was entered, and have the board train with it. */
  async train() {
    const texts = Object.fromEntries(RUN.map((name) => [name, the(name, HTMLInputElement).value]));
    const { values, errors } = readValues(texts, this.site);
    for (const name of RUN) this.complain(name, errors[name] ?? "");
    const wrong = RUN.find((name) => errors[name]);
    if (wrong) return the(wrong, HTMLInputElement).focus();
    await this.tell("Interrupting what the board does…", async () => {
      const { ended } = await this.prompt.run(trainingCode(values));
      ended.then(
        (error) => error && this.say(NO_PROGRAM.test(error) ? PUT_ON : `The board says: ${error}`),
        () => {},
      );
    }, `The board was told to train${inWords(values)}.`);
  }

  /**
   * Do something at the board's prompt, and say so before and after.
   * @param {string} before
   * @param {() => Promise<void>} action
   * @param {string} after
   */
  async tell(before, action, after) {
    this.say(before);
    for (const name of ["start", "stop", "restart"]) the(name, HTMLButtonElement).disabled = true;
    const done = await this.attempt("said", action);
    for (const name of ["start", "stop", "restart"]) the(name, HTMLButtonElement).disabled = false;
    if (done) this.say(after);
  }

  /** @param {string} text */
  say(text) {
    the("said").textContent = text;
  }

  /**
   * @param {string} name of a value
   * @param {string} text what is wrong with it, "": nothing
   */
  complain(name, text) {
    the(`${name}-error`).textContent = text;
    the(name).setAttribute("aria-invalid", String(text !== ""));
  }

  /**
   * Return whether something went well; if not, show why in the element of this name.
   * @param {string} name
   * @param {() => Promise<void>} action
   */
  async attempt(name, action) {
    the(name).textContent = "";
    try {
      await action();
      return true;
    } catch (error) {
      the(name).textContent = messageOf(error);
      return false;
    }
  }
}

/** @param {Record<string, number>} values */
function inWords(values) {
  const said = Object.entries(values).map(
    ([name, value]) => `${name} ${name === "steps" ? grouped(value) : value}`,
  );
  return said.length ? ` with ${said.join(", ")}` : "";
}

/**
 * Return the name of a port for run.json: its USB chip.
 * @param {SerialPort | null} port
 */
function portName(port) {
  const { usbVendorId, usbProductId } = port?.getInfo() ?? {};
  const hex = (/** @type {number} */ number) => number.toString(16).padStart(4, "0");
  return usbVendorId === undefined ? "serial" : `usb:${hex(usbVendorId)}:${hex(usbProductId ?? 0)}`;
}
