// Requests to the service: they return JSON, or throw an Error with a message to show.

const PREFIX = "microgpt/v1";

/** Return the JSON at a path.
 * @param {string} path
 * @returns {Promise<any>} */
export async function get(path) {
  return (await request(path)).json();
}

/** Post `body` as JSON; return the Response, whose status is 200.
 * @param {string} path
 * @param {object} body
 * @param {AbortSignal} [signal] */
export function post(path, body, signal) {
  return request(path, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
    signal,
  });
}

/** @param {string} path
 * @param {RequestInit} [options] */
async function request(path, options) {
  let response;
  try {
    response = await fetch(`${PREFIX}/${path}`, options);
  } catch (error) {
    if (error instanceof Error && error.name === "AbortError") throw error;
    throw new Error("The service does not answer: is it still running?");
  }
  if (response.ok) return response;
  const { detail } = await response.json().catch(() => ({ detail: response.statusText }));
  throw new Error(Array.isArray(detail) ? detail.map(ofField).join(" ") : sentence(detail));
}

/** Return why a field was refused: the service's own words, or those of its library with the field.
 * @param {{loc: (string | number)[], msg: string}} problem */
function ofField({ loc, msg }) {
  const own = msg.startsWith("Value error, ");
  const field = loc.filter((part) => typeof part === "string" && part !== "body").at(-1);
  return sentence(own ? msg.slice("Value error, ".length) : `${field ?? "request"}: ${msg}`);
}

/** Return a message with a capital letter at its start and a full stop at its end.
 * @param {string} text
 * @returns {string} */
export function sentence(text) {
  const end = /[.!?]$/.test(text) ? "" : ".";
  return text.charAt(0).toUpperCase() + text.slice(1) + end;
}

/** Yield the server-sent events of a Response as {event, data}; data is parsed JSON.
 * @param {Response} response */
export async function* events(response) {
  if (!response.body) return;
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    text += value;
    let end;
    while ((end = text.indexOf("\n\n")) >= 0) {
      const fields = text.slice(0, end).split("\n").map((line) => line.split(/: (.*)/s));
      text = text.slice(end + 2);
      const { event = "message", data } = Object.fromEntries(fields);
      yield { event, data: JSON.parse(data) };
    }
  }
}
