// Start, pause, step, stop, and the speed.

import { make, messageOf } from "../../common/elements.js";
import { counted } from "../../common/text.js";
import { the } from "./elements.js";
import { Refused } from "./session.js";
import { shortly } from "./settings.js";

/** @typedef {import("./session.js").Session} Session
 * @typedef {import("./session.js").Draft} Draft
 * @typedef {import("./session.js").Model} Model */

const SPEEDS = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 0]; // steps a second; 0: as fast as it goes
const USUAL = 100; // slow enough to watch: 1,000 steps take ten seconds

/** A call that fails is told by the event "failure" too.
 * @param {Promise<unknown>|undefined} call */
const heard = (call) => call?.catch(() => {});

export class Controls {
  /** @param {Session} session
   * @param {() => Promise<Draft>} collect what the form describes now; throws an Error if it cannot run */
  constructor(session, collect) {
    this.session = session;
    this.collect = collect;
    this.stopped = false;
    this.failed = "";
    this.pending = false;
    const speed = the("run-speed");
    speed.max = String(SPEEDS.length - 1);
    speed.value = String(SPEEDS.indexOf(USUAL));
    speed.addEventListener("input", () => this.changeSpeed());
    the("run-start").addEventListener("click", () => this.primary());
    the("run-step").addEventListener("click", () => this.step());
    the("run-stop").addEventListener("click", () => this.stop());
    the("run-again").addEventListener("click", async () => {
      if (await this.begin(true)) the("run-start").focus(); // this button has gone away
    });
    session.on("board", () => {
      this.stopped = false;
      this.failed = "";
      this.show();
    });
    session.on("state", () => this.show());
    session.on("starting", () => this.show());
    session.on("settled", () => this.show());
    session.on("failure", ({ detail }) => {
      this.failed = detail.message;
      this.say(`The board's program has stopped: ${detail.message}`);
      this.show();
    });
    this.showSpeed();
    this.show();
  }

  get speed() {
    return SPEEDS[Number(the("run-speed").value)];
  }

  /** Return where the run is: "none", "running", "paused", or "over" where only another can begin. */
  get place() {
    const { board, state } = this.session;
    if (!board) return "none";
    if (this.stopped || this.failed || state?.phase === "done" || state?.phase === "failed") return "over";
    return state?.running ? "running" : "paused";
  }

  primary() {
    const { board } = this.session;
    if (this.place === "running") heard(board?.pause());
    else if (this.place === "paused") heard(board?.run(this.speed));
    else this.begin(true);
  }

  async step() {
    const { board } = this.session;
    if (this.place === "paused") heard(board?.step());
    else if (await this.begin(false)) heard(this.session.board?.step());
  }

  stop() {
    heard(this.session.board?.pause());
    this.stopped = true;
    this.show();
  }

  /** Begin the run that the form describes; say why if it cannot, and leave the one that is there.
   * @param {boolean} run whether it runs at once
   * @param {Draft|null} [draft] if not that of the form
   * @param {Model|null} [model] whose weights it begins with
   * @returns {Promise<boolean>} whether it has begun */
  async begin(run, draft = null, model = null) {
    if (this.pending || this.session.starting) return false;
    this.say("");
    this.pending = true;
    this.show();
    try {
      await this.session.start(draft ?? (await this.collect()), model);
    } catch (error) {
      const text = error instanceof Refused ? shortly(error.message) : messageOf(error);
      const kept = this.session.board ? "; the run before is still here" : "";
      this.say(`Not started: ${text}${kept}.`);
      if (model) throw error;
      return false;
    } finally {
      this.pending = false;
      this.show();
    }
    if (run) heard(this.session.board?.run(this.speed));
    return true;
  }

  changeSpeed() {
    this.showSpeed();
    if (this.place === "running") heard(this.session.board?.run(this.speed));
  }

  showSpeed() {
    const { speed } = this;
    const text = speed ? `${counted(speed, "step")} a second` : "as fast as it goes";
    the("run-speed-said").textContent = text;
    the("run-speed").setAttribute("aria-valuetext", text);
  }

  /** @param {string} text */
  say(text) {
    the("run-error").textContent = text;
  }

  show() {
    const { place } = this;
    const busy = this.pending || this.session.starting;
    const start = the("run-start");
    start.textContent = { none: "Start", running: "Pause", paused: "Go on", over: "Start again" }[place];
    if (place === "paused" && this.session.state?.step === 0) start.textContent = "Start";
    start.setAttribute("aria-disabled", String(busy));
    the("run-step").disabled = busy || place === "running" || place === "over";
    the("run-stop").disabled = place === "none" || place === "over";
    this.showPhase(busy && place !== "running" ? "Loading" : this.phase(), place === "running" || busy);
  }

  /** Return what happens, in a word or two. */
  phase() {
    const { board, state } = this.session;
    if (!board) return "";
    if (this.failed || state?.phase === "failed") return "Failed";
    if (state?.phase === "done") return "Done";
    if (this.stopped) return "Stopped";
    if (!state?.running) return state?.step ? "Paused" : "Ready";
    return state.phase === "generating" ? "Making up names" : "Training";
  }

  /** @param {string} text
   * @param {boolean} live */
  showPhase(text, live) {
    const phase = the("run-phase");
    if (phase.textContent !== text) phase.replaceChildren(text ? make("span", {}, text) : "");
    phase.classList.toggle("live", live && text !== "");
  }
}
