// Makes names.bin in a worker of its own, so that a long text does not block the page.

import { sha256 } from "./hashes.js";
import { attempt } from "./names_bin.js";

/** @typedef {import("./names_bin.js").Packed & {text: string, sha256: string}} Made */

addEventListener("message", ({ data: { id, source, how, format, name } }) => {
  const made = attempt(source, how, format, name);
  if ("refusal" in made) postMessage({ id, made });
  else postMessage({ id, made: { ...made, sha256: sha256(made.data) } });
});
