// Says what files take in a headless browser: node test/speed.mjs FILE… (PYTHON, CHROMIUM, FIREFOX as for the tests).
// Each is decoded four times. Run 0 of the first file loads and compiles the runtime and makes the graphs ready.

import { execFileSync, spawn } from "node:child_process";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import puppeteer from "puppeteer-core";

const files = process.argv.slice(2);
const { CHROMIUM = "/usr/bin/chromium", FIREFOX, PYTHON = "python3" } = process.env;
const runtime = join(import.meta.dirname, "../node_modules/onnxruntime-web/dist");
const options = ["--no-open", "--runtime", runtime];
const server = spawn(PYTHON, ["-u", "-m", "hvae_codec", "view", ...files, ...options]);
server.stderr.pipe(process.stderr);
const address = await new Promise((resolve) =>
  server.stdout.on("data", (line) => resolve(String(line).trim())),
);
const browser = await puppeteer.launch({
  ...(FIREFOX
    ? { browser: "firefox", executablePath: FIREFOX }
    : { executablePath: CHROMIUM, args: ["--no-sandbox", "--disable-gpu"] }),
  protocolTimeout: 600_000,
});
const page = await browser.newPage();
// the viewer would decode beside what is measured
await page.goto(new URL("hvae.js", address).href);
const before = await held();

for (const [number, name] of files.entries()) {
  for (let run = 0; run < 4; run += 1) {
    const found = await page.evaluate(async (number) => {
      const { decode } = await import(new URL("hvae.js", document.baseURI).href);
      let first = null;
      const onArea = (area, ms) => (first ??= ms);
      const { ms, width, height } = await decode(`files/${number}`, { progressive: true, onArea });
      return { first, ms, width, height };
    }, number);
    const { first, ms, width, height } = found;
    const times = `first ${(first / 1000).toFixed(2)} s, whole ${(ms / 1000).toFixed(2)} s`;
    const more = [...(await held())].map(([id, size]) => size - (before.get(id) ?? size));
    console.log(
      `${name} ${width}x${height}, run ${run}: ${times}, ${Math.max(...more)} MB more than an empty page`,
    );
  }
}

/** Return the most memory that each process of the browser has held, in MB. */
async function held() {
  const processes = execFileSync("ps", ["-A", "-o", "pid=,ppid="], { encoding: "utf8" });
  const ids = new Set([browser.process().pid]);
  for (const line of processes.split("\n")) {
    const [id, parent] = line.trim().split(/\s+/).map(Number);
    if (ids.has(parent)) ids.add(id);
  }
  const sizes = [...ids].map(async (id) => {
    const text = await readFile(`/proc/${id}/status`, "utf8").catch(() => "");
    return [id, Math.round(Number(/VmHWM:\s+(\d+)/.exec(text)?.[1] ?? 0) / 1000)];
  });
  return new Map(await Promise.all(sizes));
}

await browser.close();
server.kill("SIGINT");
