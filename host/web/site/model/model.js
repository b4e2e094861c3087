// The card that downloads the model in the tab, and loads one.

import { byId, download, messageOf } from "../../common/elements.js";
import { grouped } from "../../common/text.js";
import { readModel, writeModel } from "./folder.js";

/** @typedef {import("./folder.js").Given} Given */

/** Start the card.
 * @param {any} session  what startTry returns
 * @param {Record<string, any>} site  site.json */
export function startModel(session, site) {
  const card = byId("model");
  const take = byId("model-download", HTMLButtonElement);
  const files = byId("model-files", HTMLInputElement);
  const status = byId("model-status");
  const error = byId("model-error");

  /** Do one thing; show how it ended.
   * @param {string} doing
   * @param {() => Promise<string>} work */
  async function report(doing, work) {
    card.setAttribute("aria-busy", "true");
    error.textContent = "";
    status.textContent = doing;
    try {
      status.textContent = await work();
    } catch (problem) {
      status.textContent = "";
      error.textContent = messageOf(problem);
    } finally {
      card.removeAttribute("aria-busy");
    }
  }

  const ready = () => {
    take.disabled = !session.board?.facts || session.state?.phase === "failed";
  };
  session.on("board", ready);
  session.on("state", ready);
  ready();

  take.addEventListener("click", () => report("Writing the model…", () => save(session)));
  byId("model-load").addEventListener("click", () => files.click());
  files.addEventListener("change", () => {
    const given = Array.from(files.files ?? [], (file) => ({ name: file.name, blob: file }));
    files.value = ""; // so that the same file can be chosen again
    if (given.length) report("Reading the model…", () => load(session, site, given));
  });

  let over = 0; // elements of the card that the pointer is in while it drags files
  const carriesFiles = (/** @type {DragEvent} */ event) => event.dataTransfer?.types.includes("Files");
  const mark = (/** @type {number} */ count) => {
    over = Math.max(0, count);
    card.classList.toggle("over", over > 0);
  };
  card.addEventListener("dragenter", (event) => mark(over + Number(carriesFiles(event))));
  card.addEventListener("dragleave", () => mark(over - 1));
  card.addEventListener("dragover", (event) => {
    if (carriesFiles(event)) event.preventDefault();
  });
  card.addEventListener("drop", (event) => {
    mark(0);
    if (!event.dataTransfer || !carriesFiles(event)) return;
    event.preventDefault();
    const given = dropped(event.dataTransfer);
    report("Reading the model…", async () => load(session, site, await given));
  });
}

/** Offer the model in the tab for download; return a line about it.
 * @param {any} session */
async function save(session) {
  const { board, begun } = session;
  const of = `${begun?.source?.name ?? ""}`.normalize("NFKD").replace(/\.[^.]*$/, "").toLowerCase();
  const plain = of.replace(/[^a-z0-9]+/g, "-").replace(/^-+|-+$/g, "").slice(0, 40) || "names";
  const weights = await board.weights();
  const step = session.state?.step ?? 0;
  const folder = `microgpt-${plain}-${step}-steps`;
  const blob = await writeModel(folder, board.facts, weights);
  const file = `${folder}.zip`;
  download(file, blob);
  return `${file}: ${grouped(weights.length)} parameters, ${grouped(blob.size)} bytes`;
}

/** Put a model into the tab; return a line about it. Nothing changes if it is refused.
 * @param {any} session
 * @param {Record<string, any>} site
 * @param {Given[]} files */
async function load(session, site, files) {
  const model = await readModel(files, (sizes) => planned(session, site, sizes));
  await session.loadModel(model);
  const parameters = grouped(model.weights.length);
  return `${model.name} is in the tab, ${parameters} parameters. Start trains it on.`;
}

/** Return what the worker says of sizes; an Error if neither the program nor the tab can have them.
 * @param {any} session
 * @param {Record<string, any>} site
 * @param {Record<string, number|boolean>} sizes */
async function planned(session, site, sizes) {
  const { max_characters } = site.names_format;
  const characters = Number(sizes.vocab_size) - 1;
  if (characters > max_characters) {
    throw new Error(`a board has room for ${max_characters} characters, not ${grouped(characters)}`);
  }
  const plan = await session.check(sizes);
  if (plan.tab) throw new Error(plan.tab);
  return plan;
}

/** Return the files that were dropped; of a folder those in it and in its folders.
 * @param {DataTransfer} transfer
 * @returns {Promise<Given[]>} */
async function dropped(transfer) {
  const roots = Array.from(transfer.items, (item) => item.webkitGetAsEntry?.());
  const whole = Array.from(transfer.files, (file) => ({ name: file.name, blob: file }));
  if (!roots.some((entry) => entry?.isDirectory)) return whole;
  /** @type {Given[]} */
  const found = [];
  for (const entry of roots) if (entry) await collect(entry, found);
  const models = found.filter(({ name }) => name === "weights.json" || name === "meta.json");
  return models.length ? models : found;
}

/** @param {FileSystemEntry} entry @param {Given[]} found */
async function collect(entry, found) {
  if (entry.isFile) {
    const file = await new Promise((resolve, reject) => {
      /** @type {FileSystemFileEntry} */ (entry).file(resolve, reject);
    });
    found.push({ name: entry.name, blob: /** @type {File} */ (file) });
    return;
  }
  const reader = /** @type {FileSystemDirectoryEntry} */ (entry).createReader();
  for (;;) {
    /** @type {FileSystemEntry[]} */
    const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (!some.length) return;
    for (const child of some) await collect(child, found);
  }
}
