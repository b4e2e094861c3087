// The Try tab: what the person chooses, the board in the tab, and what it shows.

import { messageOf } from "../../common/elements.js";
import { unusual } from "../model/values.js";
import { Controls } from "./controls.js";
import { DocumentsForm } from "./documents.js";
import { the } from "./elements.js";
import { Progress } from "./progress.js";
import { Session, sizesOf } from "./session.js";
import { Invalid, SettingsForm } from "./settings.js";
import { Link, Log, Opened } from "./take.js";

/** @typedef {import("./session.js").Draft} Draft
 * @typedef {import("./session.js").Model} Model
 * @typedef {import("./session.js").Verdict} Verdict
 * @typedef {import("./session.js").Site} Site */

/** Start the tab; return the session, which the other parts of the page look at.
 * @param {Record<string, any>} facts site.json
 * @returns {Session} */
export function startTry(facts) {
  const site = /** @type {Site} */ (facts);
  const session = new Session(site);
  const form = new Form(session);
  const controls = new Controls(session, () => form.collect());
  const progress = new Progress(session);
  const log = new Log(session, (event) => progress.read(event));
  new Link(session, log);
  const opened = new Opened(session, (run) => form.fill(run));
  session.loadModel = (model) => form.load(model, controls);
  if (!opened.open()) form.begin();
  keepDrops();
  Object.assign(globalThis, { microgpt: session }); // for the browser's console
  return session;
}

/** Both forms, and what they describe together. */
class Form {
  /** @param {Session} session */
  constructor(session) {
    this.session = session;
    this.settings = new SettingsForm(session.site);
    this.documents = new DocumentsForm(session.site);
    this.turn = 0;
    this.settings.addEventListener("changed", () => this.changed());
    this.documents.addEventListener("changed", () => this.changed());
    this.documents.addEventListener("offer", (event) => {
      const { block_size } = /** @type {CustomEvent} */ (event).detail;
      this.settings.take({ block_size });
    });
    session.on("board", () => this.compare());
  }

  begin() {
    this.documents.show();
    this.documents.again(0);
  }

  /** Show the run of a link.
   * @param {import("../model/link.js").Run} run */
  fill({ settings, how, source }) {
    this.settings.show(settings);
    this.documents.charset = "";
    this.documents.setHow({ fold: false, cut: false, max_characters: null, ...how });
    this.documents.blockSize = Number(settings.block_size);
    this.documents.list = source.kind === "own" ? "own" : source.name;
    this.begin();
  }

  /** Note what the forms describe now, and say where it fits. */
  async changed() {
    const turn = ++this.turn;
    const { session, documents, settings } = this;
    try {
      const values = settings.values();
      documents.setBlockSize(Number(values.block_size));
      const found = await documents.current();
      if (turn !== this.turn) return;
      const draft = { values, ...found };
      session.describe(draft);
      const verdict = await session.check(sizesOf(draft));
      if (turn === this.turn) settings.showFits(verdict);
    } catch (error) {
      if (turn !== this.turn) return;
      session.describe(null);
      settings.showNoFits(error instanceof Invalid ? "" : messageOf(error));
    } finally {
      if (turn === this.turn) this.compare();
    }
  }

  /** Return what the forms describe; throw an Error, and go to the field, if that is no run.
   * @returns {Promise<Draft>} */
  async collect() {
    try {
      const values = this.settings.values();
      this.documents.setBlockSize(Number(values.block_size));
      return { values, ...(await this.documents.current()) };
    } catch (error) {
      if (error instanceof Invalid) this.settings.goToError();
      throw error;
    }
  }

  /** Begin a run with the weights of a model, on the documents that are chosen, and wait for Start.
   * @param {Model} model
   * @param {Controls} controls */
  async load(model, controls) {
    const before = { values: this.settings.values(), charset: this.documents.charset };
    const { vocab_size, ...sizes } = model.sizes;
    if (Number(vocab_size) !== [...model.charset].length + 1) {
      throw new Error("the sizes of the model do not fit its characters");
    }
    this.settings.show({ ...before.values, ...sizes });
    this.pack("", Number(sizes.block_size));
    try {
      let draft = await this.collect();
      if (draft.made.charset !== model.charset) {
        this.pack(model.charset, Number(sizes.block_size));
        draft = await this.collect().catch((error) => {
          const why = `the model ${model.name} has other characters`;
          const what = "choose the list that it learned from, then load it again";
          throw new Error(`${why}: ${what} (${messageOf(error)})`);
        });
      }
      const begun = await controls.begin(false, draft, model);
      if (!begun) throw new Error("another run is just starting: load the model again");
    } catch (error) {
      this.settings.show(before.values);
      this.pack(before.charset, Number(before.values.block_size));
      throw error;
    }
  }

  /** Pack the documents for a model of this character set, "" for their own, and so many positions.
   * @param {string} charset
   * @param {number} blockSize */
  pack(charset, blockSize) {
    Object.assign(this.documents, { charset, blockSize });
    this.documents.again(0);
  }

  /** Say whether the run that is there is not the one that the forms describe. */
  compare() {
    const { begun, draft, site } = this.session;
    const known = begun && draft;
    const same = known && keyOf(begun, site) === keyOf(draft, site);
    the("run-changed").hidden = !known || Boolean(same);
  }
}

/** Return what makes a run another one.
 * @param {Draft} draft
 * @param {Site} site */
function keyOf({ values, source }, site) {
  return JSON.stringify([unusual(values, site), source.sha256]);
}

/** Let no file that is dropped beside a target replace the page, and the run with it. */
function keepDrops() {
  for (const name of /** @type {("dragover"|"drop")[]} */ (["dragover", "drop"])) {
    document.addEventListener(name, (event) => {
      if (event.dataTransfer?.types.includes("Files")) event.preventDefault();
    });
  }
}
