// Load MicroPython's WebAssembly build, and catch the memory that its heap is in.

// @ts-expect-error The package has no types; those of what is used are below.
import { loadMicroPython } from "@micropython/micropython-webassembly-pyscript/micropython.mjs";

/**
 * What is used of the package's interface.
 * @typedef {object} MicroPython
 * @property {(code: string) => unknown} runPython
 * @property {(name: string) => any} pyimport
 * @property {(name: string, module: object) => void} registerJsModule
 * @property {{mkdir: (path: string) => void,
 *   writeFile: (path: string, data: string | Uint8Array) => void}} FS
 */

/**
 * Load MicroPython from `url`, that of micropython.wasm, with a heap of so many bytes. `print` is
 * called for each line that it prints.
 *
 * `memory` is what the module exports under that name. The package does not hand it on, so this
 * looks at the module while the package instantiates it, in either of the two ways there are.
 *
 * @param {string | undefined} url
 * @param {number} heap
 * @param {(line: string) => void} print
 * @returns {Promise<{micropython: MicroPython, memory: WebAssembly.Memory}>}
 */
export async function load(url, heap, print) {
  const { instantiate, instantiateStreaming } = WebAssembly;
  /** @type {WebAssembly.Memory | undefined} */
  let memory;

  /** @type {(way: Function) => (...given: unknown[]) => Promise<any>} */
  const watched = (way) => async (...given) => {
    const result = await way.apply(WebAssembly, given);
    memory ??= /** @type {WebAssembly.Memory} */ (result.instance.exports.memory);
    return result;
  };
  WebAssembly.instantiate = /** @type {any} */ (watched(instantiate));
  WebAssembly.instantiateStreaming = watched(instantiateStreaming);
  try {
    const micropython = await loadMicroPython({ url, heapsize: heap, stdout: print });
    // The package frees what JavaScript has of Python when it is garbage here, but in the module that
    // was loaded last. A second one would be damaged by the first's garbage; so nothing is freed.
    Object.assign(globalThis, { pyProxyFinalizationRegistry: { register() {} } });
    if (!memory) throw new Error("MicroPython's memory was not found");
    return { micropython, memory };
  } finally {
    Object.assign(WebAssembly, { instantiate, instantiateStreaming });
  }
}
