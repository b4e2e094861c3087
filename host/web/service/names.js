// Generate documents; with most models they are names.

import { post } from "./api.js";

const form = document.getElementById("names-form");
const samples = document.getElementById("samples");
const error = document.getElementById("names-error");

export function startNames() {
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    generate();
  });
  document.getElementById("names-dice").addEventListener("click", () => {
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
