// The curve, the figures and the names of the run, while it trains.

import { Chart } from "../../common/chart.js";
import { make, perFrame } from "../../common/elements.js";
import { counted, grouped, nameElement } from "../../common/text.js";
import { documentsOf } from "../data/names_bin.js";
import { Curve } from "./curve.js";
import { the } from "./elements.js";

/** @typedef {import("./session.js").Session} Session
 * @typedef {import("../../common/log.js").Event} LogEvent */

const CHIPS = 20; // names that are shown at most, of those after training
const LOOKED_UP = 200_000; // documents at most: of more a set would block the page
const NAMES_EVERY = 400; // ms between two samples, so that one can be read
const KEPT_AT = [0, 1, 2, 5]; // times a power of ten: the steps whose names stay
const ROWS = 6;
const NAMES_IN_ROW = 5;

export class Progress {
  /** @param {Session} session */
  constructor(session) {
    this.session = session;
    this.chart = new Chart(the("run-curve"), the("run-reading"));
    this.draw = perFrame(() => this.show());
    this.curve = new Curve();
    this.seen = 0; // steps that the curve has
    /** @type {string[]} */
    this.final = [];
    /** @type {Set<string>|null} */
    this.known = null; // the documents, to tell what is new
    this.namesAt = 0;
    this.next = 0; // the step from which on names stay
    /** @type {{step: number, names: string[]}|null} */
    this.latest = null;
    session.on("board", () => this.begin());
    session.on("state", ({ detail }) => this.take(detail));
    document.addEventListener("themechange", () => this.draw());
  }

  begin() {
    const { begun } = this.session;
    this.curve = new Curve();
    this.seen = 0;
    this.final = [];
    const few = begun && begun.made.documents <= LOOKED_UP;
    this.known = few ? new Set(documentsOf(begun.made.data, this.session.site.names_format)) : null;
    this.namesAt = 0;
    this.next = 0;
    this.latest = null;
    the("names-before").replaceChildren();
    this.draw();
  }

  /** Take an event of the log.
   * @param {LogEvent} event */
  read(event) {
    if (event.kind === "name") this.final.push(event.text);
    if (event.kind === "start") this.showKernels(event.kernels, event.reason);
    this.draw();
  }

  /** Take a state of the board.
   * @param {import("./session.js").State} state */
  take(state) {
    for (const loss of state.losses) {
      if (loss !== null) this.curve.add(this.seen, loss);
      this.seen++;
    }
    this.keepNames(state.sampled, state.sample);
    this.showFigures(state);
    this.draw();
  }

  /** Note what the model makes up at a step; the names of a few steps stay.
   * @param {number} step
   * @param {string[]} sample */
  keepNames(step, sample) {
    if (!sample?.length) return;
    const before = this.latest;
    this.latest = { step, names: sample };
    if (step < this.next && !(step === 0 && !before)) return;
    this.next = following(step);
    const list = the("names-before");
    list.append(rowOf(step, sample));
    if (list.children.length > ROWS) list.children[1].remove(); // the first shows where it began
  }

  show() {
    const { state, begun } = this.session;
    const { points } = this.curve;
    const live = Boolean(state?.running) && state?.phase === "training";
    const steps = state?.steps;
    the("run-hint").hidden = Boolean(begun);
    const curve = { name: "this run", colour: "--curve-1", points, live, steps };
    this.chart.draw(points.length ? [curve] : []);
    if (state) this.showNames();
  }

  /** @param {import("./session.js").State} state */
  showFigures(state) {
    const { begun } = this.session;
    const { points } = this.curve;
    const at = Math.max(state.step - 1, 0);
    the("figure-step").textContent = `${grouped(state.step)} of ${grouped(state.steps)}`;
    the("figure-loss").textContent = points.length ? figure(this.curve.loss) : "–";
    the("figure-mean").textContent = points.length ? figure(this.curve.mean) : "–";
    const rate = Number(begun?.values.lr) * (1 - at / state.steps);
    the("figure-lr").textContent = rate.toFixed(5);
    const each = state.step ? state.computing_ms / state.step : 0;
    if (state.phase === "training" && each) {
      the("figure-ms").textContent = `${each.toFixed(each < 10 ? 2 : 0)} ms`;
    }
  }

  /** Say which kernels compute, and why if they are the slow ones.
   * @param {string} kernels
   * @param {string} reason */
  showKernels(kernels, reason) {
    the("figure-kernels").textContent = kernels;
    const note = the("run-portable");
    note.hidden = kernels === "native";
    const words = reason.replaceAll("-", " ");
    note.textContent =
      `The compiled kernels are not used here (${words}). The portable ones compute the same in ` +
      "MicroPython, some hundred times as slowly, and round otherwise in the last digits.";
  }

  showNames() {
    const after = this.final.length > 0;
    const now = performance.now();
    if (!after && now < this.namesAt) return;
    this.namesAt = now + NAMES_EVERY;
    const names = after ? this.final.slice(-CHIPS) : (this.latest?.names ?? []);
    the("names-none").hidden = names.length > 0;
    const when = after ? "training" : counted(this.latest?.step ?? 0, "step");
    const title = `Made up after ${when}`;
    the("names-title").textContent = names.length ? title : "Made up by the model";
    the("names-now").replaceChildren(...names.map((name) => this.chip(name)));
    const fresh = names.filter((name) => name && !this.known?.has(name)).length;
    const said = names.length && this.known ? `${fresh} of ${names.length} not in the list` : "";
    the("names-new").textContent = said;
  }

  /** @param {string} name */
  chip(name) {
    const item = make("li", {}, name ? nameElement(name) : "(empty)");
    if (!name) item.className = "nothing";
    else if (this.known?.has(name)) {
      item.className = "known";
      item.title = "in the list";
    }
    return item;
  }
}

/** Return the next step whose names stay.
 * @param {number} step */
function following(step) {
  const power = 10 ** Math.floor(Math.log10(Math.max(step, 1)));
  const [, ...steps] = [...KEPT_AT, 10].map((factor) => factor * power);
  return steps.find((each) => each > step) ?? 10 * power;
}

/** Return a loss as the log has it, a high one with fewer digits.
 * @param {number} loss */
function figure(loss) {
  return loss < 100 ? loss.toFixed(4) : grouped(Math.round(loss));
}

/** @param {number} step
 * @param {string[]} names */
function rowOf(step, names) {
  const what = make("span", { className: "what" });
  names.slice(0, NAMES_IN_ROW).forEach((name, i) => what.append(i ? " · " : "", nameElement(name)));
  return make("li", {}, make("span", { className: "at" }, counted(step, "step")), what);
}
