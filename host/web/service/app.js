// Start the page: the facts about the model, and the three sections.

import { get } from "./api.js";
import { startChat } from "./chat.js";
import { startDocuments } from "./documents.js";
import { startRuns } from "./runs.js";
import { grouped } from "../common/text.js";

const $ = (id) => document.getElementById(id);

for (const output of document.querySelectorAll("output")) {
  const input = $(output.htmlFor.value);
  const show = () => (output.value = Number(input.value).toFixed(2));
  input.addEventListener("input", show);
  show();
}

document.addEventListener("themechange", startRuns().draw);

const model = await get("model").catch((error) => ($("chat-error").textContent = error.message));
if (model.parameters) {
  $("model").textContent =
    `${grouped(model.parameters)} parameters, ${model.vocab_size} tokens, ` +
    `block of ${model.block_size}`;
  for (const part of document.querySelectorAll("#documents, nav [href='#documents']")) {
    part.hidden = model.can_chat; // its documents are conversations
  }
  startDocuments(model.block_size);
  startChat(model.can_chat, model.block_size);
}
