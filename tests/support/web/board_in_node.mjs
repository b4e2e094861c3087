// The virtual board of a browser's tab in Node: what test_virtual_board.py does with it.

import tab from "../../../host/web/site/board/tab.py";
import { VirtualBoard } from "../../../host/web/site/board/virtual_board.js";

/** A board with `lines`, its log; the files are those of `parts`: program, kernels. */
export async function made({ program, kernels }) {
  const lines = [];
  const board = await VirtualBoard.load({
    program: { ...program, "tab.py": tab },
    kernels,
    print: (line) => lines.push(line),
  });
  return { board, lines };
}

/** Go on until the run ends, or for `slices`, in slices of `count` steps; between two, call `between`. */
export function exhaust(board, { count = 1e9, ms = 1e9, slices = Infinity, between = () => {} } = {}) {
  let state = board.state();
  for (let slice = 0; slice < slices && !["done", "failed"].includes(state.phase); slice++) {
    state = board.advance(count, ms);
    if (!["done", "failed"].includes(state.phase)) between(slice);
  }
  return state;
}

/** The log of a whole run. */
export async function log(parts, run, how) {
  const { board, lines } = await made(parts);
  await board.start(run);
  exhaust(board, how);
  return lines;
}
