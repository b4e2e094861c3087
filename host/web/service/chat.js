// Chat: keeps the conversation, sends the part that fits a block, and shows the streamed reply.

import { events, post, sentence } from "./api.js";

const form = document.getElementById("chat-form");
const list = document.getElementById("messages");
const error = document.getElementById("chat-error");
const reset = document.getElementById("chat-reset");

let blockSize;
let messages = [];
let stop = new AbortController();

export function startChat(able, size) {
  blockSize = size;
  document.getElementById("chat-none").hidden = able;
  document.getElementById("chat-able").hidden = !able;
  reset.hidden = !able;
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const content = form.content.value.trim();
    if (content) say(content);
  });
  reset.addEventListener("click", () => {
    stop.abort();
    messages = [];
    list.replaceChildren();
    error.textContent = "";
    form.content.focus();
  });
}

async function say(content) {
  const button = form.querySelector("[type=submit]");
  const question = bubble("user", content);
  const answer = bubble("assistant", "");
  const asked = [...messages, { role: "user", content }];
  const own = (stop = new AbortController());
  answer.classList.add("writing");
  button.disabled = true;
  error.textContent = "";
  form.content.value = "";
  try {
    const { temperature, seed } = form;
    const body = { messages: fitting(asked), stream: true };
    body.temperature = temperature.valueAsNumber;
    body.seed = seed.valueAsNumber;
    for await (const { event, data } of events(await post("chat", body, own.signal))) {
      if (event === "error") throw new Error(sentence(data.detail));
      if (event === "message") answer.textContent += data.content;
      list.scrollTop = list.scrollHeight;
    }
    // The service refuses messages without text: an empty reply is shown, but not kept.
    if (answer.textContent) messages = [...asked, { role: "assistant", content: answer.textContent }];
    else answer.textContent = "…";
  } catch (problem) {
    if (problem.name !== "AbortError") {
      error.textContent = problem.message;
      question.remove();
      answer.remove();
      form.content.value = content;
    }
  } finally {
    answer.classList.remove("writing");
    if (own === stop) button.disabled = false;
  }
}

/** Return the last messages whose characters fit a block, the first of them the user's. The service
 * would drop the others itself, but limits the size of a request. */
function fitting(messages) {
  const last = messages.length - 1;
  let first = last;
  let size = [...messages[last].content].length;
  while (first > 0 && (size += [...messages[first - 1].content].length) <= blockSize) first--;
  if (messages[first].role !== "user") first++;
  return messages.slice(first);
}

function bubble(role, text) {
  const li = document.createElement("li");
  li.className = role;
  li.textContent = text;
  list.append(li);
  list.scrollTop = list.scrollHeight;
  return li;
}
