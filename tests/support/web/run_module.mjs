// Run one task of tests/support/web/node.py: {code, args} on stdin, the body of an async function with `args`
// and `load`, which imports a module by its path in host/web. The last line of stdout is {value} or {error}.

import { register } from "node:module";
import { readFileSync } from "node:fs";

// The bundler imports .py files as text; here a hook does.
const hook = `
  import { readFile } from "node:fs/promises";
  export async function load(url, context, next) {
    if (!url.endsWith(".py")) return next(url, context);
    const text = await readFile(new URL(url), "utf8");
    return { format: "module", shortCircuit: true, source: "export default " + JSON.stringify(text) };
  }`;
register(`data:text/javascript,${encodeURIComponent(hook)}`);

const web = new URL("../../../host/web/", import.meta.url);
const load = (module) => import(new URL(module, web).href);

function unpacked(key, value) {
  const data = value?.$bytes ?? value?.$float32;
  if (data === undefined) return value;
  const bytes = new Uint8Array(Buffer.from(data, "base64"));
  return value.$bytes === undefined ? new Float32Array(bytes.buffer) : bytes;
}

function packed(key, value) {
  const base64 = (array) => Buffer.from(array.buffer, array.byteOffset, array.byteLength).toString("base64");
  if (this[key] instanceof Uint8Array) return { $bytes: base64(this[key]) };
  if (this[key] instanceof ArrayBuffer) return { $bytes: base64(new Uint8Array(this[key])) };
  if (this[key] instanceof Float32Array) return { $float32: base64(this[key]) };
  return value;
}

const { code, args } = JSON.parse(readFileSync(0, "utf8"), unpacked);
const AsyncFunction = (async () => {}).constructor;
let answer;
try {
  answer = { value: await new AsyncFunction("load", "args", code)(load, args) };
} catch (error) {
  answer = { error: error instanceof Error ? error.message : String(error) };
}
process.stdout.write(`\n${JSON.stringify(answer, packed)}\n`, () => process.exit(0));
