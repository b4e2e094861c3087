// What the tab Watch shows: the run that is recorded, or the last one, and the list of all.

import { Chart } from "../../common/chart.js";
import { button, byId, download, make, perFrame } from "../../common/elements.js";
import { grouped, nameElement } from "../../common/text.js";

/** @typedef {import("../../common/log.js").Event} Event */
/** @typedef {import("./run_folder.js").Run} Run */
/** @typedef {import("./run_folder.js").Recorder} Recorder */

const NAMES = 60; // shown, of those that a run has made
const REMARKS = 30;
const LINES = 300; // of all that the board sends
const CONNECT = { closed: "Connect a board", open: "Connect another", gone: "Connect again" };

/**
 * Return an element of this tab.
 * @template {new () => Element} [K=typeof HTMLElement]
 * @param {string} name
 * @param {K} [kind]
 */
export const the = (name, kind) => byId(`watch-${name}`, kind);

/** The page's side of a recorder; what changes is drawn once a frame. */
export class View {
  /**
   * @param {Recorder} recorder
   * @param {() => Record<string, unknown>} environment what records, for run.json
   */
  constructor(recorder, environment) {
    this.recorder = recorder;
    this.environment = environment;
    this.chart = new Chart(the("curve", HTMLCanvasElement), the("reading"));
    /** @type {"closed" | "open" | "gone"} */
    this.state = "closed";
    this.isSilent = false;
    /** @type {string[]} */
    this.lines = [];
    /** @type {string[]} */
    this.remarks = []; // of the run that is shown, and of the board before it
    /** @type {Map<Run, HTMLElement>} */
    this.rows = new Map();
    /** @type {Run | null} */
    this.shown = null;
    this.later = perFrame(() => this.draw());
    the("all").addEventListener("toggle", () => this.draw());
    the("cards").closest("[role=tabpanel]")?.addEventListener("shown", () => this.draw());
    this.draw();
  }

  /**
   * Take a line that the board has sent, and the event in it.
   * @param {string} line
   * @param {Event | null} event
   */
  take(line, event) {
    this.lines.push(shown(line));
    if (this.lines.length > 2 * LINES) this.lines = this.lines.slice(-LINES);
    if (event?.kind === "start") this.remarks = [];
    if (event?.kind === "remark") this.remarks = [...this.remarks.slice(1 - REMARKS), event.text];
    this.later();
  }

  /** @param {"closed" | "open" | "gone"} state */
  connected(state) {
    this.state = state;
    this.later();
  }

  /** @param {boolean} silent the board has sent nothing for long */
  silent(silent) {
    if (this.isSilent === silent) return;
    this.isSilent = silent;
    this.later();
  }

  draw() {
    const { recorder, state } = this;
    const run = recorder.run ?? recorder.runs.at(-1) ?? null;
    const begun = state !== "closed" || run !== null;
    the("cards").classList.toggle("idle", !begun);
    the("first").hidden = begun;
    the("expect").hidden = begun;
    the("main").hidden = !begun;
    the("train").hidden = state === "closed";
    the("runs").hidden = !recorder.runs.length;
    the("disconnect").hidden = state === "closed";
    the("connect").textContent = CONNECT[state];
    the("connect").classList.toggle("second", state === "open");
    const live = state === "open" && Boolean(recorder.run?.step) && !recorder.run?.ended;
    the("live").hidden = !live;
    say(the("state"), this.inWords(live));
    this.drawRun(run, live);
    this.drawRemarks();
    this.drawRuns();
    this.shown = run;
  }

  /** @param {boolean} live */
  inWords(live) {
    const { state, isSilent, recorder } = this;
    if (state === "closed") return "No board is connected.";
    if (state === "gone")
      return (
        "The board is gone. Plug it in again: the page goes on by itself. If it does not, press " +
        "Connect again."
      );
    if (isSilent)
      return (
        "The board is connected and has sent nothing for a while. Press its button EN (reset), or Restart " +
        "below: its program then starts."
      );
    if (live) return "The board is training.";
    if (recorder.run?.ended) return "The board has trained all steps of its run.";
    return "The board is connected. Its next line appears here.";
  }

  /**
   * @param {Run | null} run
   * @param {boolean} live
   */
  drawRun(run, live) {
    const start = run?.start;
    const step = run?.step;
    const done = step ? step.step + 1 : 0;
    the("total").textContent = run?.total
      ? `step ${grouped(done)} of ${grouped(run.total)}`
      : step
        ? `step ${grouped(done)}`
        : "";
    the("run").textContent = start
      ? [
          start.board,
          `${start.kernels} kernels (${start.reason})`,
          `seed ${start.seed}`,
          `${grouped(start.parameters)} parameters`,
          `${grouped(start.data)} documents`,
        ].join(" · ")
      : run
        ? "Its first line was missed: restart the board to record a whole run."
        : "Waiting for the first step.";
    const progress = the("progress", HTMLProgressElement);
    progress.hidden = !run?.total;
    progress.max = run?.total || 1;
    progress.value = done;
    const left = live && run ? run.secondsLeft(performance.now()) : null;
    const figures = {
      loss: step?.loss.toFixed(4),
      mean: run?.points.at(-1)?.mean.toFixed(4),
      ms: step && `${step.ms.toFixed(1)} ms`,
      pace: step?.ms ? (1000 / step.ms).toFixed(1) : undefined,
      left: left === null ? undefined : duration(left),
      free: step && `${grouped(step.free >> 10)} KB`,
    };
    for (const [name, text] of Object.entries(figures)) the(`figure-${name}`).textContent = text ?? "–";
    const points = run?.points ?? [];
    this.chart.draw(points.length ? [{ name: curveName(run), colour: "--curve-1", points, live }] : []);
    const names = run?.names.slice(-NAMES) ?? [];
    the("made-none").hidden = names.length > 0;
    the("names").replaceChildren(
      ...names.map((name) => {
        const className = name ? "" : "nothing";
        return make("li", { className }, name ? nameElement(name) : "nothing");
      }),
    );
  }

  drawRemarks() {
    the("remarks-none").hidden = this.remarks.length > 0;
    the("remark-list").replaceChildren(
      ...this.remarks.map((remark) => {
        const className = remark.startsWith("error: ") ? "error" : "";
        return make("li", { className }, shown(remark));
      }),
    );
    if (!the("all", HTMLDetailsElement).open) return;
    const log = the("log");
    const atEnd = log.scrollTop + log.clientHeight >= log.scrollHeight - 20;
    log.textContent = this.lines.slice(-LINES).join("\n");
    if (atEnd) log.scrollTop = log.scrollHeight;
  }

  drawRuns() {
    // Only the last two still change: a board that restarts again and again makes many.
    const { runs } = this.recorder;
    for (const run of runs.filter((run, i) => i >= runs.length - 2 || !this.rows.has(run))) {
      const row = this.rows.get(run) ?? this.addRow(run);
      const [name, facts] = row.querySelectorAll("b, .quiet");
      name.textContent = run.folder;
      const steps = run.step ? `step ${grouped(run.step.step + 1)}` : "no step yet";
      const all = run.total ? ` of ${grouped(run.total)}` : "";
      facts.textContent = [
        run.start ? `seed ${run.start.seed}` : "joined after its start",
        `${steps}${all}`,
        ...(run.names.length ? [`${grouped(run.names.length)} names`] : []),
      ].join(" · ");
    }
  }

  /** @param {Run} run */
  save(run) {
    const bytes = /** @type {BlobPart} */ (run.zip(this.environment()));
    download(`${run.folder}.zip`, new Blob([bytes], { type: "application/zip" }));
  }

  /** @param {Run} run */
  addRow(run) {
    const about = make("div", {}, make("b"), make("span", { className: "quiet" }));
    const save = button("Save", () => this.save(run), "second");
    save.setAttribute("aria-label", `Save the run ${run.folder}`);
    const row = make("li", {}, about, save);
    the("run-list").prepend(row); // the latest first
    this.rows.set(run, row);
    return row;
  }
}

/** @param {Run | null} run */
function curveName(run) {
  return run?.start ? `seed ${run.start.seed}` : "run";
}

/**
 * Set a text only when it changes: a screen reader says it then.
 * @param {HTMLElement} element
 * @param {string} text
 */
function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/**
 * Return a line with what has no shape as escapes.
 * @param {string} line
 */
function shown(line) {
  return line.replace(/[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu, (character) => {
    const code = /** @type {number} */ (character.codePointAt(0)).toString(16);
    return code.length > 2 ? `\\u${code.padStart(4, "0")}` : `\\x${code.padStart(2, "0")}`;
  });
}

/** @param {number} seconds */
function duration(seconds) {
  const whole = Math.min(Math.round(seconds), 360_000_000);
  const two = (/** @type {number} */ number) => String(number).padStart(2, "0");
  const minutes = `${two(Math.floor(whole / 60) % 60)}:${two(whole % 60)}`;
  return `${grouped(Math.floor(whole / 3600))}:${minutes}`;
}
