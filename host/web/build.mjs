// Bundle the site: node build.mjs TARGET, a folder that already holds what the tool made (site.json,
// ugpt/, lists, images). Called by `microgpt-board site`.

import { build } from "esbuild";
import { cp, mkdir, readFile, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
const target = process.argv[2];
const micropython = join(here, "node_modules/@micropython/micropython-webassembly-pyscript");

/** Return a page with each `<!-- include: PATH -->` replaced by that file. */
async function page(path) {
  const text = await readFile(path, "utf8");
  const parts = text.split(/<!-- include: (\S+) -->/);
  for (let i = 1; i < parts.length; i += 2) parts[i] = await page(join(dirname(path), parts[i]));
  return parts.join("");
}

await mkdir(target, { recursive: true });
await build({
  entryPoints: {
    main: join(here, "site/main.js"),
    worker: join(here, "site/board/worker.js"),
    theme: join(here, "common/theme.js"),
    site: join(here, "site/site.css"),
  },
  bundle: true,
  format: "esm",
  target: "es2022",
  minify: true,
  outdir: target,
  loader: { ".py": "text", ".svg": "text" },
  logLevel: "warning",
});
await cp(join(micropython, "micropython.wasm"), join(target, "micropython.wasm"));
await writeFile(join(target, "index.html"), await page(join(here, "site/index.html")));
