// Generate documents.

import { byId, field, find, messageOf } from "../common/elements.js";
import { post } from "./api.js";

const form = find(document, "#documents-form", HTMLFormElement);
const error = byId("documents-error");
const seed = field(form, "seed");
const prompt = field(form, "prompt");

/** Let the user generate documents.
 * @param {number} blockSize */
export function startDocuments(blockSize) {
  prompt.placeholder = `what each begins with, up to ${blockSize - 1} characters`;
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    generate();
  });
  byId("documents-dice").addEventListener("click", () => {
    seed.value = String(Math.floor(Math.random() * 1e6));
    generate();
  });
}

async function generate() {
  if (!form.reportValidity()) return;
  const button = find(form, "[type=submit]", HTMLButtonElement);
  button.disabled = true;
  error.textContent = "";
  try {
    const response = await post("generate", {
      num_samples: field(form, "num_samples").valueAsNumber,
      temperature: field(form, "temperature").valueAsNumber,
      seed: seed.valueAsNumber,
      prompt: prompt.value,
    });
    byId("samples").replaceChildren(...(await response.json()).samples.map(item));
  } catch (problem) {
    error.textContent = messageOf(problem);
  } finally {
    button.disabled = false;
  }
}

/** @param {string} text */
function item(text) {
  const li = document.createElement("li");
  li.textContent = text || "(nothing)";
  li.classList.toggle("nothing", !text);
  return li;
}
