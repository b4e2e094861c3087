// MicroPython's prompt on a board: interrupt its program, run a command, hear how it ended.
//
// https://docs.micropython.org/en/latest/reference/repl.html: Ctrl-C interrupts, Ctrl-A begins the raw mode,
// in which Ctrl-D runs what was sent. The board then says OK, the output, Ctrl-D, an error, Ctrl-D and >.

import { allowed, valueOf } from "../model/values.js";
import { PortError } from "./serial.js";

/** @typedef {import("./serial.js").SerialLine} SerialLine */
/** @typedef {import("../model/values.js").Site} Site */

const CTRL_A = "\x01";
const CTRL_B = "\x02";
const CTRL_C = "\x03";
const CTRL_D = "\x04";
const RAW = "raw REPL; CTRL-B to exit\r\n>";
const TRIES = 6; // to get to the prompt: a board that loads its program or saves does not answer at once
const WAIT = 3000; // ms a try
const KEPT = 4096; // characters of the board's output, at least
const NAMES = 20; // generated after a training
const PART = 64; // bytes that are sent at once: a board's buffer has 256

export const RUN = /** @type {const} */ (["seed", "steps", "lr"]); // what ugpt.train takes
const NO_ANSWER =
  "The board does not answer: press its button EN (reset) and try again. If it has no MicroPython, " +
  "put it on in the tab Flash.";

/**
 * Return the values of a training that a person entered; those left empty are left to the board.
 * @param {Record<string, string>} texts
 * @param {Site} site
 * @returns {{values: Record<string, number>, errors: Record<string, string>}}
 */
export function readValues(texts, site) {
  /** @type {Record<string, number>} */
  const values = {};
  /** @type {Record<string, string>} */
  const errors = {};
  for (const name of RUN) {
    const text = (texts[name] ?? "").trim();
    if (!text) continue;
    const value = valueOf(name, text, site);
    if (value === null) errors[name] = `${name} must be ${allowed(name, site)}.`;
    else values[name] = Number(value);
  }
  return { values, errors };
}

/**
 * Return the program that trains with these values, and then makes names as the board's own does.
 * @param {Record<string, number>} values
 */
export function trainingCode(values) {
  const given = RUN.filter((name) => name in values).map((name) => `${name}=${values[name]}`);
  // The empty line ends the line with OK, so that the log begins on one of its own.
  return (
    `print()\nimport ugpt\nugpt.train(${given.join(",")})\nt,r,_=ugpt.app.current\n` +
    `if t.step>=t.steps:\n for n in ugpt.generate(${NAMES}):r.name(n)\n`
  );
}

/** The prompt of the board at a line. One command at a time: a new one takes the place of the last. */
export class Prompt {
  /** @param {SerialLine} line */
  constructor(line) {
    this.line = line;
    this.heard = "";
    this.turn = 0; // counts the commands
    this.check = () => {};
    line.addEventListener("data", (event) => {
      const bytes = /** @type {CustomEvent<Uint8Array>} */ (event).detail;
      for (const byte of bytes) this.heard += String.fromCharCode(byte);
      this.check();
      if (this.heard.length > 2 * KEPT) this.heard = this.heard.slice(-KEPT);
    });
    line.addEventListener("state", () => this.check());
  }

  /**
   * Interrupt what runs, and run `code`. Returns a promise of its end: of "" or the board's error. Throws
   * PortError if the board does not answer.
   * @param {string} code
   * @returns {Promise<{ended: Promise<string>}>}
   */
  async run(code) {
    const turn = await this.enter();
    await this.send(code);
    this.heard = "";
    await this.send(CTRL_D);
    if ((await this.until("OK", turn, WAIT)) === null) throw new PortError(NO_ANSWER);
    return { ended: this.end(turn) };
  }

  /** Interrupt what runs, and leave the board at its prompt. */
  async stop() {
    await this.enter();
    await this.send(CTRL_B);
  }

  /** Interrupt what runs, and start the board's own program again. */
  async restart() {
    await this.enter();
    await this.send(CTRL_B + CTRL_D);
  }

  /** Interrupt what runs and begin the raw mode; return the number of this command. */
  async enter() {
    const turn = ++this.turn;
    this.check();
    for (let i = 0; i < TRIES; i++) {
      this.heard = "";
      await this.send(`\r${CTRL_C}\r${CTRL_A}`);
      if ((await this.until(RAW, turn, WAIT)) !== null) return turn;
      if (turn !== this.turn) break;
    }
    throw new PortError(turn === this.turn ? NO_ANSWER : "Another command took its place.");
  }

  /**
   * Wait for the end of a command, which can take as long as it likes; return its error or "".
   * @param {number} turn
   */
  async end(turn) {
    const first = await this.until(CTRL_D, turn);
    const said = first === null ? null : await this.until(`${CTRL_D}>`, turn);
    if (said === null) return "";
    await this.send(CTRL_B);
    const last = said.trim().split("\n").at(-1) ?? "";
    return last.startsWith("KeyboardInterrupt") ? "" : last.trim();
  }

  /**
   * Return what the board says before `text`, and forget it; null after `wait` ms without it, when another
   * command has taken the place of this one, or when the board is gone.
   * @param {string} text
   * @param {number} turn
   * @param {number} [wait]
   * @returns {Promise<string | null>}
   */
  until(text, turn, wait) {
    return new Promise((resolve) => {
      /** @param {string | null} found */
      const done = (found) => {
        clearTimeout(timer);
        this.check = () => {};
        resolve(found);
      };
      const timer = wait === undefined ? undefined : setTimeout(() => done(null), wait);
      this.check = () => {
        if (turn !== this.turn || this.line.state !== "open") return done(null);
        const at = this.heard.indexOf(text);
        if (at < 0) return;
        const before = this.heard.slice(0, at);
        this.heard = this.heard.slice(at + text.length);
        done(before);
      };
      this.check();
    });
  }

  /** @param {string} text of ASCII */
  async send(text) {
    const bytes = new TextEncoder().encode(text);
    for (let i = 0; i < bytes.length; i += PART) await this.line.write(bytes.subarray(i, i + PART));
  }
}
