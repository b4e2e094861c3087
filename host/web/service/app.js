// Start the page: the facts about the model, and the three sections.

import { get } from "./api.js";
import { startChat } from "./chat.js";
import { startDocuments } from "./documents.js";
import { startRuns } from "./runs.js";
import { byId, find, messageOf } from "../common/elements.js";
import { grouped } from "../common/text.js";

for (const output of document.querySelectorAll("output")) {
  const input = find(document, `#${output.htmlFor.value}`, HTMLInputElement);
  const show = () => (output.value = Number(input.value).toFixed(2));
  input.addEventListener("input", show);
  show();
}

document.addEventListener("themechange", startRuns().draw);

const model = await get("model").catch((error) => (byId("chat-error").textContent = messageOf(error)));
if (model.parameters) {
  byId("model").textContent =
    `${grouped(model.parameters)} parameters, ${model.vocab_size} tokens, ` +
    `block of ${model.block_size}`;
  const link = find(document, "nav [href='#documents']", HTMLElement);
  byId("documents").hidden = link.hidden = model.can_chat; // its documents are conversations
  startDocuments(model.block_size);
  startChat(model.can_chat, model.block_size);
}
