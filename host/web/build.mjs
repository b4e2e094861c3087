// Bundle the site: node build.mjs TARGET, a folder that already holds what the tool made (site.json,
// program.json, lists, images). Called by `microgpt-board site`.

import { build } from "esbuild";
import { createHash } from "node:crypto";
import { copyFile, readFile, readdir, writeFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
const target = process.argv[2];
const micropython = join(here, "node_modules/@micropython/micropython-webassembly-pyscript");
const COPIED = ["icon.svg", "manifest.webmanifest"]; // of site/, as they are

/** @type {import("esbuild").BuildOptions} */
const options = {
  bundle: true,
  format: "esm",
  target: "es2022",
  minify: true,
  outdir: target,
  external: ["module", "fs", "path", "url", "crypto", "node:*"], // of MicroPython's module, in Node only
  loader: { ".py": "text" },
  logLevel: "warning",
};

/** Return a page with each `<!-- include: PATH -->` replaced by that file.
 * @param {string} path
 * @returns {Promise<string>} */
async function page(path) {
  const text = await readFile(path, "utf8");
  const parts = text.split(/<!-- include: (\S+) -->/);
  for (let i = 1; i < parts.length; i += 2) parts[i] = await page(join(dirname(path), parts[i]));
  return parts.join("");
}

/** Return the paths of all files that a visit needs: not the images for boards.
 * @param {string} folder in the target, with a slash at its end
 * @returns {Promise<string[]>} */
async function visited(folder = "") {
  const found = [];
  for (const entry of await readdir(join(target, folder), { withFileTypes: true })) {
    const path = folder + entry.name;
    if (entry.isFile()) found.push(path);
    else if (path !== "images") found.push(...(await visited(`${path}/`)));
  }
  return found.sort();
}

/** Return the page with a line for each file that main.js imports, so that all are fetched at once.
 * @param {string} text
 * @param {import("esbuild").Metafile} metafile
 * @returns {string} */
function preloading(text, metafile) {
  const main = Object.values(metafile.outputs).find(({ entryPoint }) => entryPoint?.endsWith("site/main.js"));
  const imported = main?.imports.filter(({ kind }) => kind === "import-statement") ?? [];
  const lines = imported.map(({ path }) => `<link rel="modulepreload" href="parts/${basename(path)}">\n  `);
  return text.replace('<script type="module"', `${lines.join("")}<script type="module"`);
}

/** Return the licences of what the bundles are made of.
 * @param {import("esbuild").Metafile} metafile
 * @returns {Promise<string>} */
async function licenses(metafile) {
  const found = Object.keys(metafile.inputs).map((path) => /node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(path));
  const names = new Set(found.flatMap((match) => (match ? [match[1]] : [])));
  const parts = [`microgpt-esp32\n\n${await readFile(join(here, "../../LICENSE"), "utf8")}`];
  for (const name of [...names].sort()) {
    const folder = join(here, "node_modules", name);
    const { version, license } = JSON.parse(await readFile(join(folder, "package.json"), "utf8"));
    const file = (await readdir(folder)).find((entry) => /^licen[sc]e/i.test(entry));
    const text = file ? await readFile(join(folder, file), "utf8") : "";
    parts.push(`${name} ${version}: ${license}\n\n${text}`.trim());
  }
  return `${parts.map((part) => part.trim()).join(`\n\n${"-".repeat(78)}\n\n`)}\n`;
}

const { metafile } = await build({
  ...options,
  metafile: true,
  entryPoints: {
    main: join(here, "site/main.js"),
    worker: join(here, "site/board/worker.js"),
    packing: join(here, "site/data/worker.js"),
    theme: join(here, "common/theme.js"),
    site: join(here, "site/site.css"),
  },
  // What a page imports when it needs it, such as the loader of a board, is a file of its own.
  splitting: true,
  chunkNames: "parts/[name]-[hash]",
});
await copyFile(join(micropython, "micropython.wasm"), join(target, "micropython.wasm"));
for (const name of COPIED) await copyFile(join(here, "site", name), join(target, name));
await writeFile(join(target, "licenses.txt"), await licenses(metafile));
await writeFile(join(target, "index.html"), preloading(await page(join(here, "site/index.html")), metafile));

// The service worker is told which files it keeps, with their hashes, of which the version is made.
/** @type {Record<string, string>} */
const files = {};
for (const path of await visited()) {
  const hash = createHash("sha256").update(await readFile(join(target, path))).digest("base64");
  files[path === "index.html" ? "./" : path] = `sha256-${hash}`;
}
const version = createHash("sha256").update(JSON.stringify(files)).digest("hex").slice(0, 16);
await build({
  ...options,
  entryPoints: { sw: join(here, "site/sw.js") },
  define: {
    VERSION: JSON.stringify(version),
    FILES: JSON.stringify(files),
  },
});
