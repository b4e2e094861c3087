// The runs in a board's log, each as the folder that the tools' recorder writes: run.json and log.jsonl.
//
// The rules are those of tools/microgpt_board/device/record.py; `microgpt-board replay` reads the folder.

import { strToU8, zipSync } from "fflate";
import { canGenerate } from "../../common/log.js";
import { movingMean } from "../../common/mean.js";

/** @typedef {import("../../common/log.js").Event} Event */
/** @typedef {import("../../common/log.js").Start} Start */
/** @typedef {import("../../common/log.js").Step} Step */
/** @typedef {import("../../common/chart.js").Point} Point */

const SCHEMA = 2; // of run.json
const EXTENDED = /^extended from [0-9]+ to ([0-9]{1,10}) steps$/; // a remark

/** A run as far as its log was seen; `start` is null if it was joined after its start. */
export class Run {
  /**
   * @param {Start | null} start
   * @param {string} port
   * @param {Date} started
   */
  constructor(start, port, started) {
    this.start = start;
    this.port = port;
    this.started = started;
    this.steps = start?.steps ?? 0; // until a remark extends them
    this.number = 1;
    /** @type {Step | null} */
    this.step = null;
    /** @type {Point[]} */
    this.points = []; // of those losses that are numbers
    /** @type {string[]} */
    this.names = [];
    /** @type {string[]} */
    this.lines = []; // of log.jsonl
    /** @type {{step: number, mean: number}[]} */
    this.last = [];
    this.firstStep = -1;
    this.firstTime = 0; // when that step was heard of, ms
    /** @type {Run | null} */
    this.before = null; // the same run before a reset, as far as the starts say
  }

  /** @param {Step} step */
  take(step) {
    if (this.firstStep < 0) this.goOn(step.step);
    this.step = step;
    const { step: number, loss, lr, mean, ms, free } = step;
    const known = Number.isFinite(mean) ? { mean: new Real(mean) } : {};
    const logged = Number.isFinite(loss) ? new Real(loss) : null;
    this.log({ step: number, loss: logged, lr: new Real(lr), ...known, ms: new Real(ms), free });
    if (Number.isFinite(loss) && Number.isFinite(mean))
      this.points.push({ step: number, loss, mean: movingMean(this.last, number, mean) });
  }

  /**
   * Begin with a step; a run that was resumed goes on with the curve of before.
   * @param {number} first
   */
  goOn(first) {
    [this.firstStep, this.firstTime] = [first, performance.now()];
    if (!this.before || first === 0) return;
    this.points = this.before.points.filter(({ step }) => step < first);
    this.last = this.before.last.filter(({ step }) => step < first);
  }

  /** @param {Record<string, unknown>} record */
  log(record) {
    const pairs = Object.entries(record).map(([name, value]) => `${ascii(name)}: ${ascii(value)}`);
    this.lines.push(`{${pairs.join(", ")}}\n`);
  }

  /** The steps of the run, 0 if unknown: as its log says, or more if it has taken more. */
  get total() {
    return this.steps ? Math.max(this.steps, (this.step?.step ?? -1) + 1) : 0;
  }

  /** Whether its last step was logged. */
  get ended() {
    return this.steps > 0 && this.step !== null && this.step.step + 1 >= this.steps;
  }

  /**
   * Return the seconds to the last step at the speed so far, null while that is unknown.
   * @param {number} now as performance.now() has it
   */
  secondsLeft(now) {
    const done = (this.step?.step ?? 0) - this.firstStep;
    if (!this.total || !this.step || done <= 0) return null;
    return ((this.total - 1 - this.step.step) * (now - this.firstTime)) / 1000 / done;
  }

  /** The name of its folder: of the time, the board, and a number if others have the same. */
  get folder() {
    const [date, time] = local(this.started).split("T");
    const name = `${date}-${time.slice(0, 8).replaceAll(":", "")}-${this.start?.board ?? "joined"}`;
    return this.number > 1 ? `${name}-${this.number}` : name;
  }

  /**
   * Return run.json.
   * @param {Record<string, unknown>} environment what recorded it
   */
  about(environment) {
    const { start } = this;
    return {
      schema: SCHEMA,
      started: local(this.started),
      board: start?.board ?? null,
      kernels: start?.kernels ?? null,
      firmware: start?.version ?? null,
      port: this.port,
      seed: start?.seed ?? null,
      parameters: start?.parameters ?? null,
      model: start?.model ?? null,
      train: { steps: start?.steps ?? null },
      data: { documents: start?.data ?? null, vocab_size: start?.vocab_size ?? null },
      environment,
    };
  }

  /**
   * Return the folder as a zip.
   * @param {Record<string, unknown>} environment what recorded it
   */
  zip(environment) {
    const about = `${JSON.stringify(this.about(environment), null, 2)}\n`;
    const files = { "run.json": strToU8(about), "log.jsonl": strToU8(this.lines.join("")) };
    return zipSync({ [this.folder]: files }, { level: 6 });
  }
}

/** Makes runs of events. A run begins with the first remark, or wherever it is joined. */
export class Recorder {
  /** @param {() => Date} now */
  constructor(now = () => new Date()) {
    this.now = now;
    this.port = "";
    /** @type {Run[]} */
    this.runs = [];
    /** @type {Run | null} */
    this.run = null; // the one that is being recorded
  }

  /** @param {Event} event */
  take(event) {
    const { run } = this;
    if (event.kind === "start") this.begin(event);
    else if (event.kind === "step") {
      const last = run?.step?.step ?? -1;
      // Joined half-way, or the board was reset and its first remark is lost.
      (run && event.step > last ? run : this.begin(null)).take(event);
    } else if (run && event.kind === "remark") {
      run.steps = Number(EXTENDED.exec(event.text)?.[1] ?? run.steps);
      run.log({ remark: event.text });
    } else if (run && event.kind === "name" && (!run.start || canGenerate(run.start, event))) {
      run.log({ name: event.text });
      run.names.push(event.text);
    }
  }

  /** End the run, if there is one. */
  finish() {
    this.run = null;
  }

  /** @param {Start | null} start */
  begin(start) {
    const last = this.runs.at(-1);
    const run = new Run(start, this.port, this.now());
    while (this.runs.some(({ folder }) => folder === run.folder)) run.number++;
    if (start && last?.start && JSON.stringify(start) === JSON.stringify(last.start)) run.before = last;
    this.runs.push(run);
    this.run = run;
    return run;
  }
}

/** A number that Python writes as a float, 2.0. */
class Real {
  /** @param {number} value */
  constructor(value) {
    this.value = value;
  }
}

/**
 * Return a value as Python's json writes it: in ASCII, and floats with their point or exponent.
 * @param {unknown} value
 */
function ascii(value) {
  if (value instanceof Real) return floatText(value.value);
  return JSON.stringify(value).replace(
    /[\x7f-\uffff]/g,
    (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

/** @param {number} value */
function floatText(value) {
  const [digits, power] = value.toExponential().split("e");
  if (value !== 0 && (Number(power) < -4 || Number(power) > 15))
    return `${digits}e${power[0]}${power.slice(1).padStart(2, "0")}`;
  const text = String(value);
  return text.includes(".") ? text : `${text}.0`;
}

/**
 * Return a time in ISO 8601 to the second, with the offset of this computer's clock from UTC.
 * @param {Date} date
 */
function local(date) {
  const offset = -date.getTimezoneOffset();
  const shifted = new Date(date.getTime() + offset * 60_000).toISOString().slice(0, 19);
  const two = (/** @type {number} */ number) => String(number).padStart(2, "0");
  const [hours, minutes] = [Math.floor(Math.abs(offset) / 60), Math.abs(offset) % 60];
  return `${shifted}${offset < 0 ? "-" : "+"}${two(hours)}:${two(minutes)}`;
}
