// The virtual board in a Web Worker: answers the calls of board.js, and trains between them.
//
// From the page: {id, call, given}; to it: {id, result} or {id, error}, and events {event, detail}.

// @ts-expect-error esbuild gives the text of the file.
import tab from "./tab.py";
import { VirtualBoard } from "./virtual_board.js";

const SLICE = 12; // ms of steps, then the page's calls are answered
const REPORT_EVERY = 30; // ms, at least, while it runs
const SAMPLE_EVERY = 100; // ms, at least
const SAMPLE_TIME = 4; // ms for a sample of names
const SAMPLE_SHARE = 10; // of the time go to samples: a tenth

/** @type {(message: object, moved?: Transferable[]) => void} */
const post = (message, moved = []) => self.postMessage(message, { transfer: moved });

/** @type {VirtualBoard} */
let board;
/** @type {string[]} */
let lines = [];
/** @type {string[]} */
let sample = [];
let sampled = 0; // steps that were done then
let sampleAt = 0; // when the next is due
let reportAt = 0;
/** @type {(number | null)[]} */
let losses = [];
let reason = "";
let phase = "ready";
let step = 0;
let steps = 0;
let computing = 0; // ms

let running = false;
let rate = 0; // steps a second; 0: as fast as it goes
let since = 0; // when they are counted from
let counted = 0;
/** @type {ReturnType<typeof setTimeout> | undefined} */
let timer;
let turn = 0; // counts the calls of `run`: of an earlier one no slice goes on
const soon = new MessageChannel(); // earlier than a timer, which waits for 4 ms
soon.port1.onmessage = (/** @type {MessageEvent} */ { data }) => {
  if (data === turn) slice();
};

/** Send the lines of the log that there are, then the state. */
function report() {
  if (lines.length) post({ event: "log", detail: { lines } });
  lines = [];
  reportAt = performance.now() + REPORT_EVERY;
  const kernels = board.facts?.kernels ?? "";
  const done = { phase, step, steps, running, computing_ms: computing, losses };
  post({ event: "state", detail: { ...done, kernels, reason, sample, sampled } });
  losses = [];
}

/** Take a sample of names, if one is due.
 * @param {boolean} [now]
 */
function takeSample(now = false) {
  const begin = performance.now();
  if (!board.facts || phase === "failed" || (begin < sampleAt && !now)) return;
  sample = board.sample(SAMPLE_TIME);
  sampled = step;
  const end = performance.now();
  sampleAt = end + Math.max(SAMPLE_EVERY, SAMPLE_SHARE * (end - begin));
}

/** Do so many steps or names, as far as a slice goes.
 * @param {number} count
 */
function advance(count) {
  const before = step;
  const begin = performance.now();
  const state = board.advance(count, SLICE);
  computing += performance.now() - begin;
  phase = state.phase;
  if (state.failure) post({ event: "failure", detail: { message: state.failure } });
  else ({ step, steps } = state);
  losses.push(...(state.losses ?? []));
  if (phase === "done" || phase === "failed") running = false;
  return step - before;
}

/** Do what is due, tell the page, and come back. */
function slice() {
  if (!running) return;
  attempt(() => {
    if (rate === 0) {
      advance(1e9);
    } else {
      const due = Math.floor(((performance.now() - since) * rate) / 1000) - counted;
      if (due > 0) {
        const done = advance(due);
        counted += due;
        // What was not done in time is not made up for: the speed is only that of the machine.
        if (phase === "training" && done < due) restartClock();
      }
    }
    takeSample(!running);
  });
  if (!running || performance.now() >= reportAt) report();
  if (!running) return;
  if (rate === 0) soon.port2.postMessage(turn);
  else timer = setTimeout(slice, Math.max(0, since + ((counted + 1) * 1000) / rate - performance.now()));
}

/** Count the steps that are due from now on. */
function restartClock() {
  since = performance.now();
  counted = 0;
}

/** Do something, and end the run with a message if it fails, for a reason unknown to the program.
 * @param {() => void} action
 */
function attempt(action) {
  try {
    action();
  } catch (error) {
    running = false;
    phase = "failed";
    post({ event: "failure", detail: { message: lastLine(error) } });
  }
}

/** What an exception says in a line: the last line of a traceback, if it has one.
 * @param {unknown} error
 */
function lastLine(error) {
  const text = error instanceof Error ? error.message : String(error);
  return text.trim().split("\n").pop() ?? "";
}

/** Return what a file of the site holds; throw an Error that says why not.
 * @param {string} file
 * @param {(answer: Response) => Promise<any>} read
 */
async function fetched(file, read) {
  const failure = (/** @type {string} */ why) => new Error(`${file} ${why}: load the page again`);
  const answer = await fetch(addressOf(file)).catch((error) => {
    throw failure(`cannot be loaded (${lastLine(error)})`);
  });
  if (!answer.ok) throw failure(`cannot be loaded (${answer.status})`);
  return read(answer).catch(() => {
    throw failure("is damaged");
  });
}

/** @param {string} file */
function addressOf(file) {
  return new URL(file, self.location.href).href;
}

/** @type {Record<string, (...given: any[]) => any>} */
const calls = {
  /** @param {boolean} kernels */
  async load(kernels) {
    const [program, bytes] = await Promise.all([
      fetched("program.json", (answer) => answer.json()),
      // Without them the program uses the portable ones, and its log says so.
      kernels ? fetched("kernels.wasm", (answer) => answer.arrayBuffer()).catch(() => null) : null,
    ]);
    const parts = {
      micropython: addressOf("micropython.wasm"),
      program: { ...program, "tab.py": tab },
      kernels: bytes && new Uint8Array(bytes),
      print: (/** @type {string} */ line) => lines.push(line),
    };
    try {
      board = await VirtualBoard.load(parts);
    } catch (error) {
      const why = lastLine(error);
      throw new Error(`MicroPython cannot be loaded: load the page again (${why})`, { cause: error });
    }
  },
  /** @param {Parameters<VirtualBoard["start"]>[0]} run */
  async start(run) {
    calls.pause();
    [step, steps, computing, sample, losses, reason] = [0, 0, 0, [], [], ""];
    phase = "failed"; // unless the following succeeds
    try {
      const facts = await board.start(run);
      reason = /reason:(\S+)/.exec(lines.join("\n"))?.[1] ?? "";
      ({ phase, step, steps } = board.state());
      takeSample(true);
      return facts;
    } finally {
      report();
    }
  },
  /** @param {number} stepsPerSecond */
  run(stepsPerSecond) {
    calls.pause();
    board.started();
    if (phase === "done" || phase === "failed") return;
    rate = stepsPerSecond;
    turn++;
    running = true;
    restartClock();
    slice();
  },
  pause() {
    clearTimeout(timer);
    if (!running) return;
    running = false;
    report();
  },
  step() {
    calls.pause();
    board.started();
    if (phase === "done" || phase === "failed") return;
    attempt(() => {
      advance(1);
      takeSample(true);
    });
    report();
  },
  look: (text) => board.look(text),
  weights() {
    if (running) report(); // before them, so that the page knows of which step they are
    return board.weights();
  },
  check: (sizes, memories) => board.check(sizes, memories),
};

/** The buffers of a result, which are moved to the page instead of copied.
 * @param {any} result
 */
function buffersOf(result) {
  const parts = result instanceof Float32Array ? [result] : Object.values(result ?? {});
  return parts.filter((part) => part instanceof Float32Array).map((part) => part.buffer);
}

let last = Promise.resolve(); // calls are answered one after another
self.addEventListener("message", ({ data: { id, call, given } }) => {
  last = last
    .then(() => calls[call](...given))
    .then(
      (result) => post({ id, result }, buffersOf(result)),
      (error) => post({ id, error: lastLine(error) }),
    );
});
