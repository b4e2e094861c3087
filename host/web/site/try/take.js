// The log of the run, and the link that makes it again.

import { button, download, make, perFrame } from "../../common/elements.js";
import { parse } from "../../common/log.js";
import { grouped } from "../../common/text.js";
import { read, shown, write } from "../model/link.js";
import { the } from "./elements.js";

/** @typedef {import("./session.js").Session} Session
 * @typedef {import("./session.js").Draft} Draft
 * @typedef {import("../../common/log.js").Event} LogEvent */

const SHOWN = 400; // lines

export class Log {
  /** @param {Session} session
   * @param {(event: LogEvent) => void} read called with each event */
  constructor(session, read) {
    this.session = session;
    this.read = read;
    /** @type {string[]} */
    this.lines = [];
    /** @type {Extract<LogEvent, {kind: "start"}>|null} */
    this.start = null;
    this.later = perFrame(() => this.show());
    session.on("board", () => {
      this.lines = [];
      this.start = null;
      the("log").textContent = "";
    });
    session.on("log", ({ detail }) => this.add(detail.lines));
    the("log-download").addEventListener("click", () => this.save());
  }

  /** @param {string[]} lines */
  add(lines) {
    for (const line of lines) {
      this.lines.push(line);
      const event = parse(line, this.session.site.log);
      if (event?.kind === "start") this.start = event;
      if (event) this.read(event);
    }
    the("log-download").disabled = !this.lines.length;
    this.later();
  }

  /** Show the last lines, and stay at the end if the person reads there. */
  show() {
    const view = the("log");
    const end = view.scrollHeight - view.scrollTop - view.clientHeight < 40; // pixels
    const left = this.lines.length - SHOWN;
    const before = left > 0 ? [`(${grouped(left)} lines before these are in the download)`] : [];
    view.textContent = [...before, ...this.lines.slice(-SHOWN), ""].join("\n");
    if (end) view.scrollTop = view.scrollHeight;
  }

  save() {
    const seed = this.start?.seed ?? 0;
    const text = `${this.lines.join("\n")}\n`;
    download(`microgpt-seed-${seed}.log`, new Blob([text], { type: "text/plain" }));
  }
}

/** The link to the run on the board, or to the one that the form describes until there is one. */
export class Link {
  /** @param {Session} session
   * @param {Log} log */
  constructor(session, log) {
    this.session = session;
    this.log = log;
    for (const event of ["board", "log", "names", "settled"]) session.on(event, () => this.show());
    the("link-copy").addEventListener("click", () => this.copy());
    the("link").addEventListener("focus", () => the("link").select());
    this.show();
  }

  show() {
    const { about, address } = this.made();
    the("link-about").textContent = about;
    the("link-row").hidden = !address;
    if (the("link").value !== address) {
      the("link").value = address;
      the("link-copied").textContent = "";
    }
  }

  /** Return the link, "" if there can be none, and what to know of it. */
  made() {
    const { session, log } = this;
    const draft = session.begun ?? session.draft;
    if (!draft) return { about: "There is one when the form describes a run.", address: "" };
    if (session.board && session.loaded) {
      const about = `This run began with ${session.loaded}, which no link carries: download the model.`;
      return { about, address: "" };
    }
    const seed = log.start?.seed ?? Number(draft.values.seed);
    if (!seed) {
      const about = "Seed 0 is another one each time: the link is there when the run has begun.";
      return { about, address: "" };
    }
    const { how, source, values } = draft;
    if (how.charset) {
      const about = "The documents are packed for a loaded model, which no link carries: choose them anew.";
      return { about, address: "" };
    }
    const kernels = log.start?.kernels ?? "";
    const settings = { ...values, seed };
    const hash = write({ settings, how, source, version: session.site.version, kernels });
    const own = ", and the hash of your text, but not the text: whoever opens it needs the same";
    return {
      about:
        `It carries the seed, the sizes and the settings${source.kind === "own" ? own : ""}. ` +
        "It makes the same model again on any computer, to the bit.",
      address: `${location.origin}${location.pathname}${hash}`,
    };
  }

  async copy() {
    const field = the("link");
    field.select();
    try {
      await navigator.clipboard.writeText(field.value);
      the("link-copied").textContent = "Copied.";
    } catch {
      the("link-copied").textContent =
        "The browser does not let this page copy: the link is selected, press Ctrl-C.";
    }
  }
}

/** The run that the address describes: filled into the form, and compared with what is there. */
export class Opened {
  /** @param {Session} session
   * @param {(run: import("../model/link.js").Run) => void} fill */
  constructor(session, fill) {
    this.session = session;
    this.fill = fill;
    /** @type {import("../model/link.js").Run|null} */
    this.run = null;
    /** @type {string[]} */
    this.problems = [];
    session.on("names", () => this.show());
    session.on("log", () => this.show());
    addEventListener("hashchange", () => this.open());
  }

  /** Fill the form with the run in the address, if there is one; return whether there is. */
  open() {
    const opened = read(location.hash, this.session.site);
    if (!opened) return false;
    this.run = opened.run;
    this.problems = opened.problems;
    this.fill(opened.run);
    this.show();
    return true;
  }

  show() {
    const { run } = this;
    const note = the("link-note");
    note.hidden = !run;
    if (!run) return;
    const lines = [...this.problems.map((problem) => `In the link: ${problem}.`), ...this.differences(run)];
    const same = "Start makes the model that whoever sent the link has, the same to the bit.";
    const said = lines.length ? lines : [same];
    note.classList.toggle("warning", lines.length > 0);
    const forget = button("Forget the link", () => this.forget(), "plain");
    const text = ["This page was opened with a link to a run.", ...said].join(" ");
    if (note.firstChild?.textContent === text) return;
    note.replaceChildren(make("p", {}, text), forget);
  }

  /** Return why the run would make another model than that of the link.
   * @param {import("../model/link.js").Run} run */
  differences({ source, version, kernels }) {
    const { draft, site, state } = this.session;
    const lines = [];
    if (version && version !== site.version) {
      lines.push(`It was made by version ${version}, and this is ${site.version}: the model can be another.`);
    }
    const here = state?.kernels;
    if (kernels && here && kernels !== here) {
      lines.push(`It was made with ${kernels} kernels, and here they are ${here}: the last digits differ.`);
    }
    const given = draft?.source;
    if (!source.sha256) {
      lines.push("It does not say which documents it was made with: they can be others.");
    } else if (source.kind === "own" && (given?.kind !== "own" || !draft?.text)) {
      const name = source.name ? `“${shown(source.name)}”` : "a text that was pasted";
      lines.push(
        `It was made with ${name}, which no link carries. Paste or drop that text here: ` +
          `the page says whether it is the same (SHA-256 of its names.bin ${source.sha256.slice(0, 12)}…).`,
      );
    } else if (given && given.sha256 !== source.sha256) {
      lines.push(
        `The documents here are not those of the link (SHA-256 ${given.sha256.slice(0, 12)}…, and not ` +
          `${source.sha256.slice(0, 12)}…): the model will be another.`,
      );
    }
    return lines;
  }

  forget() {
    this.run = null;
    history.replaceState(null, "", `${location.pathname}${location.search}#try`);
    this.show();
    the("run-start").focus();
  }
}
