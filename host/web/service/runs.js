// The recorded runs: which there are, which are drawn, and those that are growing.

import { get } from "./api.js";
import { Chart } from "./chart.js";

const EVERY = 1000; // ms between two looks at what was recorded
const AT_FIRST = 3; // runs drawn before anybody chooses
const COLOURS = [1, 2, 3, 4, 5, 6].map((n) => `--curve-${n}`); // in style.css
const MEAN_OVER = 100; // steps
const NAMES = 12; // the last ones that a board made up

const $ = (id) => document.getElementById(id);
const chart = new Chart($("curve"), $("reading"));
const runs = new Map(); // name: {about, row, box, colour, and what was read of its log}
let chosen = false; // by the reader of the page
let timer;

export function startRuns() {
  look();
  document.addEventListener("visibilitychange", () => document.hidden || look());
  return { draw };
}

async function look() {
  clearTimeout(timer);
  try {
    list((await get("runs")).runs);
    await Promise.all([...runs.values()].map(read));
    draw();
    $("runs-error").textContent = "";
  } catch (error) {
    $("runs-error").textContent = error.message;
  }
  clearTimeout(timer);
  if (!document.hidden) timer = setTimeout(look, EVERY);
}

/** Show a row for each run, in the order of `abouts`. */
function list(abouts) {
  const names = new Set(abouts.map((about) => about.name));
  for (const [name, run] of runs) {
    if (!names.has(name)) {
      run.row.remove();
      runs.delete(name);
    }
  }
  abouts.forEach((about, i) => {
    const run = runs.get(about.name) ?? add(about.name);
    run.about = about;
    if (!chosen) run.box.checked = about.live || i < AT_FIRST;
    const there = $("runs-list").children[i];
    if (there !== run.row) $("runs-list").insertBefore(run.row, there ?? null);
    describe(run);
  });
  const live = abouts.find((about) => about.live);
  $("live").hidden = !live;
  $("live").textContent = live ? `${live.trained_on} is training` : "";
  $("runs-none").hidden = abouts.length > 0;
  document.querySelector("#runs figure").hidden = !abouts.length;
}

function add(name) {
  const row = document.createElement("li");
  row.innerHTML =
    '<label class="run"><input type="checkbox"><span class="what"><b></b><span class="quiet"></span>' +
    '</span><span class="state"></span><span class="loss" title="mean loss"></span></label>';
  const run = { name, row, box: row.querySelector("input"), colour: null, ...nothingRead() };
  run.box.addEventListener("change", async () => {
    chosen = true;
    await read(run).catch((error) => ($("runs-error").textContent = error.message));
    draw();
  });
  runs.set(name, run);
  return run;
}

function describe({ about, row }) {
  const facts = [about.trained_on];
  if (about.parameters !== null) facts.push(`${grouped(about.parameters)} parameters`);
  if (about.seed !== null) facts.push(`seed ${about.seed}`);
  const done = grouped(about.step === null ? 0 : about.step + 1);
  row.firstChild.classList.toggle("live", about.live);
  row.querySelector("b").textContent = about.name;
  row.querySelector(".quiet").textContent = facts.join(" · ");
  row.querySelector(".state").textContent = about.steps === null ? done : `${done} / ${grouped(about.steps)}`;
  row.querySelector(".loss").textContent = about.mean?.toFixed(3) ?? "";
}

function grouped(number) {
  return number.toLocaleString("en");
}

function nothingRead() {
  return { points: [], names: [], offset: 0, last: [] };
}

/** Read what a chosen run has recorded since the last time. */
async function read(run) {
  if (!run.box.checked || run.reading || run.offset === run.about.bytes) return;
  run.reading = true;
  try {
    for (let more = true; more; ) {
      const log = await get(`runs/${encodeURIComponent(run.name)}?offset=${run.offset}`);
      if (log.offset < run.offset) Object.assign(run, nothingRead()); // it was begun again
      run.offset = log.offset;
      run.names = [...run.names, ...log.names].slice(-NAMES);
      for (const { step, loss, mean } of log.steps) {
        if (loss === null || mean === null) continue;
        run.points.push({ step, loss, mean: movingMean(run.last, step, mean) });
      }
      more = log.more;
    }
  } finally {
    run.reading = false;
  }
}

/** The mean of the last MEAN_OVER steps, from what is logged of them; `last` keeps it. */
function movingMean(last, step, mean) {
  last.push({ step, mean });
  while (last[0].step <= step - MEAN_OVER) last.shift();
  return last.reduce((sum, logged) => sum + logged.mean, 0) / last.length;
}

/** Give each chosen run a colour, of its own while there are enough. */
function paint() {
  const drawn = [];
  for (const run of runs.values()) {
    if (run.box.checked) drawn.push(run);
    else run.colour = null;
  }
  const taken = new Set(drawn.map((run) => run.colour));
  drawn.forEach((run, i) => {
    if (run.colour) return;
    run.colour = COLOURS.find((colour) => !taken.has(colour)) ?? COLOURS[i % COLOURS.length];
    taken.add(run.colour);
    run.row.style.setProperty("--colour", `var(${run.colour})`);
  });
}

function draw() {
  paint();
  const drawn = [...runs.values()]
    .filter((run) => run.box.checked && run.points.length)
    .sort((a, b) => a.about.live - b.about.live); // what grows is drawn over the others
  chart.draw(
    drawn.map(({ name, colour, points, about }) => ({ name, colour, points, live: about.live })),
  );
  const latest = drawn.findLast((run) => run.names.length);
  $("made-up").hidden = !latest;
  if (latest) {
    const names = document.createElement("b");
    names.textContent = latest.names.join(", ");
    $("made-up").replaceChildren(`${latest.about.trained_on} made up: `, names);
  }
}
