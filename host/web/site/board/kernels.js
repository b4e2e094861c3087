// kernels.wasm in MicroPython's memory: ugpt.native calls it with the addresses of its arrays.
//
//   memory of MicroPython's module
//   +----------------------+-----------------------------------------------------+-------------+
//   | MicroPython's data   | heap:  ...  params  ...  activations  ...  [stack]  | what it may |
//   | and stack            |            ^ an argument is such an address         | grow by     |
//   +----------------------+-----------------------------------------------------+-------------+
//
// kernels.wasm has no memory of its own but imports this one (--import-memory), so it reads and
// writes MicroPython's arrays in place. Three things make that safe:
//
//   - It has no data: its constants come from an array of Python's, ugpt/coefficients.py.
//   - Its stack pointer, which it exports, is set to the end of a bytearray that MicroPython has
//     allocated and keeps. Where the linker has put it there would be MicroPython's own data. (As
//     clang 22 compiles them, the kernels use no stack; another compiler may.)
//   - MicroPython's garbage collector moves nothing: an address is valid as long as its array.

/** @typedef {import("./micropython.js").MicroPython} MicroPython */

/**
 * Link kernels.wasm to MicroPython, as its module `ugpt.kernels`.
 *
 * A kernel is called as a viper function on a board: (self, number of arguments, of keywords,
 * address of the arguments), each argument a small int, that is, shifted left by one. The
 * arguments are written to the beginning of `stack`, bytes that MicroPython keeps for ever.
 *
 * @param {MicroPython} micropython
 * @param {WebAssembly.Memory} memory
 * @param {Uint8Array} bytes kernels.wasm
 * @param {{address: number, size: number}} stack
 * @returns {Promise<void>} rejected if `bytes` are no such module
 */
export async function link(micropython, memory, bytes, stack) {
  const { instance } = await WebAssembly.instantiate(/** @type {BufferSource} */ (bytes), {
    env: { memory },
  });
  const { __stack_pointer: pointer, ...kernels } = instance.exports;
  const place = (stack.address + 15) & ~15;
  /** @type {WebAssembly.Global} */ (pointer).value = (stack.address + stack.size) & ~15;

  let words = new Int32Array(memory.buffer);
  /** @type {(kernel: Function) => (...values: number[]) => void} */
  const callable = (kernel) => (...values) => {
    if (words.length === 0) words = new Int32Array(memory.buffer); // the memory has grown: a new buffer
    for (let i = 0; i < values.length; i++) words[(place >> 2) + i] = values[i] << 1;
    kernel(0, values.length, 0, place);
  };
  micropython.registerJsModule(
    "ugpt.kernels",
    Object.fromEntries(
      Object.entries(kernels).map(([name, kernel]) => [name, callable(/** @type {Function} */ (kernel))]),
    ),
  );
}
