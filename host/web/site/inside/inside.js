// The pictures of what happens in the model while it learns, for a text that the person types.

import { byId, messageOf } from "../../common/elements.js";
import { startModel } from "../model/model.js";
import { Attention } from "./attention.js";
import { Embeddings } from "./embeddings.js";
import { Losses } from "./losses.js";
import { Probabilities } from "./probabilities.js";

/** @typedef {import("./picture.js").Inside} Inside */

const PERIOD = 250; // milliseconds from one look to the next, at least
const BOS = "·";

/** Calls `work` at most once a period, never twice at a time, and again if it was asked meanwhile. */
export class Pace {
  /** @param {() => Promise<void>} work
   * @param {number} period  in milliseconds */
  constructor(work, period) {
    this.work = work;
    this.period = period;
    this.asked = false;
    this.busy = false;
  }

  async ask() {
    this.asked = true;
    if (this.busy) return;
    this.busy = true;
    try {
      while (this.asked) {
        this.asked = false;
        const rest = new Promise((resolve) => setTimeout(resolve, this.period));
        await this.work();
        await rest;
      }
    } finally {
      this.busy = false;
    }
  }
}

/** Show the pictures, and the card that downloads and loads a model.
 * @param {any} session  what startTry returns
 * @param {Record<string, any>} site  site.json */
export function startInside(session, site) {
  new Inspector(session);
  startModel(session, site);
}

class Inspector {
  /** @param {any} session */
  constructor(session) {
    this.session = session;
    this.text = byId("inside-text", HTMLInputElement);
    this.error = byId("inside-error");
    this.temperature = byId("inside-temperature", HTMLInputElement);
    this.heated = false; // the temperature is the person's, not the run's
    this.follow = byId("inside-follow", HTMLInputElement);
    /** @type {Inside|null} */
    this.inside = null;
    this.step = -1; // of what is shown
    this.chosen = Infinity; // the last position, while no other is chosen
    this.typed = false; // the text is the person's
    this.visible = true;
    this.stale = false; // what is shown is older than the model
    this.pace = new Pace(() => this.look(), PERIOD);

    const choose = (/** @type {number} */ position) => this.choose(position);
    this.losses = new Losses(byId("inside-tiles"), choose);
    this.attention = new Attention(
      byId("inside-maps"),
      byId("inside-layer", HTMLSelectElement),
      byId("inside-layer-label"),
      choose,
    );
    this.embeddings = new Embeddings(
      byId("inside-embeddings", HTMLCanvasElement),
      byId("inside-embeddings-reading"),
    );
    this.next = new Probabilities(
      byId("inside-chances", HTMLCanvasElement),
      byId("inside-chances-reading"),
      {
        where: byId("inside-next-title"),
        sum: byId("inside-sum"),
        result: byId("inside-drawn"),
        key: byId("inside-key"),
      },
    );
    this.listen();
    this.heat(Number(this.temperature.value));
    this.take();
  }

  listen() {
    this.session.on("board", () => this.take());
    this.session.on("state", (/** @type {CustomEvent} */ { detail }) => this.hear(detail));
    this.text.addEventListener("input", () => {
      this.typed = true;
      this.chosen = Infinity;
      this.pace.ask();
    });
    byId("inside-form", HTMLFormElement).addEventListener("submit", (event) => {
      event.preventDefault();
      this.pace.ask();
    });
    const now = byId("inside-now");
    if (matchMedia("(prefers-reduced-motion: reduce)").matches) this.follow.checked = false;
    now.hidden = this.follow.checked;
    this.follow.addEventListener("change", () => {
      now.hidden = this.follow.checked;
      this.pace.ask();
    });
    this.temperature.addEventListener("input", () => {
      this.heated = true;
      this.heat(Number(this.temperature.value));
    });
    byId("inside-again").addEventListener("click", () => {
      byId("inside-draw").textContent = this.next.again();
    });
    const near = new Set();
    const watcher = new IntersectionObserver((entries) => {
      for (const { target, isIntersecting } of entries) near[isIntersecting ? "add" : "delete"](target);
      this.visible = near.size > 0;
      if (this.visible && this.stale) this.pace.ask();
    }, { rootMargin: "300px" });
    watcher.observe(byId("inside"));
    watcher.observe(byId("inside-pictures"));
    document.addEventListener("visibilitychange", () => {
      if (!document.hidden && this.stale) this.pace.ask();
    });
  }

  /** @param {number} temperature  the nearest that the slider has is taken */
  heat(temperature) {
    this.temperature.value = String(temperature);
    const taken = Number(this.temperature.value);
    byId("inside-degrees").textContent = taken.toFixed(2);
    byId("inside-again", HTMLButtonElement).disabled = taken === 0;
    this.next.heat(taken);
  }

  /** Look into the board that has just started. */
  take() {
    this.embeddings.forget();
    this.suggest();
    const temperature = this.session.begun?.values.temperature;
    if (!this.heated && temperature !== undefined) this.heat(temperature);
    this.stale = true;
    this.pace.ask();
  }

  /** @param {{step: number, running: boolean, phase: string}} state */
  hear({ step, running, phase }) {
    if (phase === "failed" || (step === this.step && !this.stale)) return;
    this.stale = true;
    if (this.follow.checked || !running) this.pace.ask();
  }

  /** Put the first document into the field, while the person has typed nothing. */
  suggest() {
    if (this.typed) return;
    const [first = ""] = (this.session.begun?.text ?? "").trimStart().split(/\r?\n/, 1);
    this.text.value = first.trim();
    this.chosen = Infinity;
  }

  /** Ask the board about the text, and show what it says; not while nobody sees it. */
  async look() {
    const { board } = this.session;
    if (!board?.facts || this.session.state?.phase === "failed" || !this.visible || document.hidden) {
      this.stale = true;
      return;
    }
    const { charset } = board.facts;
    const text = folded(this.text.value, charset);
    const step = this.session.state?.step ?? 0;
    this.stale = false;
    try {
      const inside = await board.look(text);
      if (board !== this.session.board) return; // another run has begun, and is looked into next
      if (!inside.losses.every(Number.isFinite)) {
        this.error.textContent =
          "The model's numbers have become infinite: it has diverged. Start again with a lower learning " +
          "rate.";
        return;
      }
      this.inside = inside;
      this.step = step;
      this.error.textContent = "";
      const cut = [...inside.text].length < [...text].length;
      byId("inside-cut").textContent = cut
        ? `The model reads ${inside.n} positions at once: it sees “${inside.text}”.` : "";
      this.show();
    } catch (error) {
      if (board !== this.session.board) return;
      if (!this.typed && text) {
        this.text.value = ""; // the first document has a character that was left out of the data
        this.pace.ask();
        return;
      }
      const still = this.inside ? ` The pictures are still those of “${this.inside.text}”.` : "";
      this.error.textContent = `${messageOf(error)}: the model knows ${known(charset)}.${still}`;
    }
  }

  /** @param {number} position */
  choose(position) {
    this.chosen = position;
    this.show();
  }

  show() {
    const { inside, session: { board } } = this;
    if (!inside || !board?.facts) return;
    const { charset, sizes } = board.facts;
    const characters = [...charset];
    const chosen = Math.min(this.chosen, inside.n - 1);
    this.next.labelOf = this.embeddings.labelOf = (token) => (token ? characters[token - 1] : BOS);
    byId("inside-empty").hidden = true;
    byId("inside-losses").hidden = false;
    const pictures = byId("inside-pictures");
    if (!pictures.classList.contains("started")) {
      pictures.classList.add("started");
      for (const part of pictures.querySelectorAll("[hidden]")) {
        if (part.matches(".inside-column, .card")) part.removeAttribute("hidden");
      }
    }
    const even = Math.log(sizes.vocab_size).toFixed(2);
    byId("inside-even").textContent = `ln ${sizes.vocab_size} = ${even}`;
    byId("inside-width").textContent = String(sizes.n_embd);
    const mean = inside.losses.reduce((sum, loss) => sum + loss, 0) / inside.n;
    byId("inside-when").textContent = `loss of this text: ${mean.toFixed(2)}`;
    this.losses.show(inside, sizes.vocab_size, chosen);
    this.next.show(inside, chosen);
    this.attention.show(inside, chosen);
    this.embeddings.show(inside, sizes.vocab_size);
  }
}

/** Return a text in characters of the model: the other case of one that it lacks.
 * @param {string} text
 * @param {string} charset */
function folded(text, charset) {
  const known = new Set(charset);
  const fold = (/** @type {string} */ c) => {
    return [c, c.toLowerCase(), c.toUpperCase()].find((form) => known.has(form)) ?? c;
  };
  return Array.from(text.normalize("NFC"), fold).join("");
}

/** Return the characters of the model, not too many of them.
 * @param {string} charset */
function known(charset) {
  const characters = [...charset];
  const more = characters.length - 60;
  return characters.slice(0, 60).join("") + (more > 0 ? ` and ${more} more` : "");
}
