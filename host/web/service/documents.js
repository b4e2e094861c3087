// Generate documents.

import { post } from "./api.js";

const form = document.getElementById("documents-form");
const samples = document.getElementById("samples");
const error = document.getElementById("documents-error");

export function startDocuments(blockSize) {
  form.prompt.placeholder = `what each begins with, up to ${blockSize - 1} characters`;
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    generate();
  });
  document.getElementById("documents-dice").addEventListener("click", () => {
    form.seed.value = Math.floor(Math.random() * 1e6);
    generate();
  });
}

async function generate() {
  if (!form.reportValidity()) return;
  const button = form.querySelector("[type=submit]");
  button.disabled = true;
  error.textContent = "";
  try {
    const response = await post("generate", {
      num_samples: form.num_samples.valueAsNumber,
      temperature: form.temperature.valueAsNumber,
      seed: form.seed.valueAsNumber,
      prompt: form.prompt.value,
    });
    samples.replaceChildren(...(await response.json()).samples.map(item));
  } catch (problem) {
    error.textContent = problem.message;
  } finally {
    button.disabled = false;
  }
}

function item(text) {
  const li = document.createElement("li");
  li.textContent = text || "(nothing)";
  li.classList.toggle("nothing", !text);
  return li;
}
