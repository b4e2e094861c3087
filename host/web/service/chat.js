// Chat: keeps the conversation, sends the part that fits a block, and shows the streamed reply.

import { byId, field, find, messageOf } from "../common/elements.js";
import { events, post, sentence } from "./api.js";

const form = byId("chat-form");
const list = byId("messages");
const error = byId("chat-error");
const reset = byId("chat-reset");
const content = field(form, "content");
const send = find(form, "[type=submit]", HTMLButtonElement);

/** @typedef {{role: "user" | "assistant", content: string}} Message */

let blockSize = 0;
/** @type {Message[]} */
let messages = [];
let stop = new AbortController();

/** Show the chat, or that the model cannot.
 * @param {boolean} able
 * @param {number} size the model's block size */
export function startChat(able, size) {
  blockSize = size;
  byId("chat-none").hidden = able;
  byId("chat-able").hidden = !able;
  reset.hidden = !able;
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const text = content.value.trim();
    if (text) say(text);
  });
  reset.addEventListener("click", () => {
    stop.abort();
    messages = [];
    list.replaceChildren();
    error.textContent = "";
    content.focus();
  });
}

/** Send what the user said, and show the reply as it comes.
 * @param {string} text */
async function say(text) {
  const question = bubble("user", text);
  const answer = bubble("assistant", "");
  /** @type {Message[]} */
  const asked = [...messages, { role: "user", content: text }];
  const own = (stop = new AbortController());
  answer.classList.add("writing");
  send.disabled = true;
  error.textContent = "";
  content.value = "";
  try {
    const body = {
      messages: fitting(asked),
      stream: true,
      temperature: field(form, "temperature").valueAsNumber,
      seed: field(form, "seed").valueAsNumber,
    };
    for await (const { event, data } of events(await post("chat", body, own.signal))) {
      if (event === "error") throw new Error(sentence(data.detail));
      if (event === "message") answer.textContent += data.content;
      list.scrollTop = list.scrollHeight;
    }
    // The service refuses messages without text: an empty reply is shown, but not kept.
    if (answer.textContent) messages = [...asked, { role: "assistant", content: answer.textContent }];
    else answer.textContent = "…";
  } catch (problem) {
    if (!(problem instanceof Error && problem.name === "AbortError")) {
      error.textContent = messageOf(problem);
      question.remove();
      answer.remove();
      content.value = text;
    }
  } finally {
    answer.classList.remove("writing");
    if (own === stop) send.disabled = false;
  }
}

/** Return the last messages whose characters fit a block, the first of them the user's. The service
 * would drop the others itself, but limits the size of a request.
 * @param {Message[]} messages */
function fitting(messages) {
  const last = messages.length - 1;
  let first = last;
  let size = [...messages[last].content].length;
  while (first > 0 && (size += [...messages[first - 1].content].length) <= blockSize) first--;
  if (messages[first].role !== "user") first++;
  return messages.slice(first);
}

/** Add a message to the conversation that is shown.
 * @param {Message["role"]} role
 * @param {string} text */
function bubble(role, text) {
  const li = document.createElement("li");
  li.className = role;
  li.textContent = text;
  list.append(li);
  list.scrollTop = list.scrollHeight;
  return li;
}
