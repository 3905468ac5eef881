// Writes the fixtures (PYTHON names an interpreter that has the package), bundles the tests and
// runs them. FIXTURES names a folder that has them already.

import { execFileSync } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const here = fileURLToPath(new URL(".", import.meta.url));
const scratch = await mkdtemp(join(tmpdir(), "hvae-web-"));
const fixtures = process.env.FIXTURES ?? join(scratch, "fixtures");
const all = ["bitstream", "codec", "decode", "viewer", "element"];
const names = process.argv.length > 2 ? process.argv.slice(2) : all;
const run = (command, args) =>
  execFileSync(command, args, {
    stdio: "inherit",
    env: { ...process.env, FIXTURES: fixtures, PYTHONPATH: join(here, "../..") }, // tests/drawn.py
  });

try {
  if (!process.env.FIXTURES) {
    execFileSync("mkdir", ["-p", fixtures]);
    run(process.env.PYTHON ?? "python3", [join(here, "fixtures.py"), fixtures]);
  }
  // beside node_modules, so that the packages are found
  const out = join(here, "../node_modules/.tests");
  await build({
    entryPoints: names.map((name) => join(here, `${name}.test.ts`)),
    outdir: out,
    outExtension: { ".js": ".mjs" },
    bundle: true,
    packages: "external",
    platform: "node",
    format: "esm",
    logLevel: "warning",
  });
  run(process.execPath, [
    "--test",
    "--test-concurrency=1",
    ...names.map((name) => join(out, `${name}.test.mjs`)),
  ]);
} catch (error) {
  if (error.status === undefined) throw error;
  process.exitCode = 1;
} finally {
  await rm(scratch, { recursive: true, force: true });
}
