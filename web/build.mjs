// Builds the page into ../cli/page, which is part of the Python package, or into a folder.

import { cp, mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const here = fileURLToPath(new URL(".", import.meta.url));
const out = resolve(process.argv[2] ?? join(here, "../cli/page"));
process.chdir(here); // where what follows lies

await rm(out, { recursive: true, force: true });
await mkdir(out, { recursive: true });
await build({
  absWorkingDir: here,
  entryPoints: [
    "src/hvae.ts",
    "src/worker.ts",
    "src/webp.ts",
    "src/jpeg2000.ts",
    "src/page/page.ts",
  ],
  entryNames: "[name]",
  outdir: out,
  bundle: true,
  minify: true,
  format: "esm",
  target: "es2022",
  conditions: ["onnxruntime-web-use-extern-wasm"],
  external: ["fs", "path"], // which OpenJPEG asks for in node alone
  legalComments: "eof",
  logLevel: "warning",
});
await cp("src/page/index.html", `${out}/index.html`);
await cp("src/page/page.css", `${out}/page.css`);
await cp("node_modules/@jsquash/webp/codec/dec/webp_dec.wasm", `${out}/webp.wasm`);
await cp("src/libwebp.LICENSE", `${out}/webp.LICENSE`);
const openjpeg = "node_modules/@cornerstonejs/codec-openjpeg/dist/openjpegwasm_decode.wasm";
await cp(openjpeg, `${out}/jpeg2000.wasm`);
await cp("src/openjpeg.LICENSE", `${out}/jpeg2000.LICENSE`);
await cp("src/onnxruntime.LICENSE", `${out}/worker.LICENSE`);
// what the page needs beside itself, and the Python side looks for
const { version } = JSON.parse(await readFile("node_modules/onnxruntime-web/package.json", "utf8"));
const files = ["ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm"];
const runtime = { package: "onnxruntime-web", version, files };
await writeFile(`${out}/runtime.json`, `${JSON.stringify(runtime)}\n`);
