/** The worker that decodes: the page stays free. */

import * as ort from "onnxruntime-web/wasm";
import { HvaeError } from "./bitstream/errors.ts";
import { Codec } from "./codec/codec.ts";
import { decodeFile } from "./codec/decoder.ts";
import type { Ort } from "./codec/graphs.ts";
import type { DecodeJpeg2000, DecodeWebp } from "./codec/lossless.ts";
import type { Machine } from "./codec/options.ts";
import { Source } from "./codec/source.ts";
import type { Answer, Order } from "./messages.ts";

const sources = new Map<number, Source>();
const codecs = new Map<string, Promise<Codec>>();
let weights = "";

self.onmessage = ({ data: order }: MessageEvent<Order>) => {
  if (order.do === "start") {
    weights = order.weights;
    ort.env.wasm.wasmPaths = order.runtime;
    ort.env.wasm.numThreads = threads();
    return;
  }
  if (order.do === "decode") {
    sources.set(order.id, new Source());
    void decode(order);
    return;
  }
  const source = sources.get(order.id); // none where all is over
  if (order.do === "bytes") append(source, order.bytes);
  else if (order.do === "end") source?.end();
  else source?.fail(new Error("nobody waits for it"));
};

/** Return how many threads compute: more than one only where a page shares its memory. */
function threads(): number {
  // a worker of Firefox (ESR 153) that starts workers of its own may never go on, on busy cores
  const isFirefox = navigator.userAgent.includes("Firefox");
  return self.crossOriginIsolated && !isFirefox ? Math.min(4, navigator.hardwareConcurrency) : 1;
}

function append(source: Source | undefined, bytes: Uint8Array): void {
  try {
    source?.append(bytes);
  } catch (error) {
    source?.fail(error); // there is no room for them
  }
}

async function decode({ id, options }: Extract<Order, { do: "decode" }>): Promise<void> {
  const source = sources.get(id)!;
  const answer = (message: Answer, transfer: Transferable[] = []) =>
    self.postMessage(message, { transfer });
  const machine: Machine = {
    codecOf,
    openWebp,
    openJpeg2000,
    breathe: async () => {
      await breath();
      source.check();
    },
  };
  const begin = performance.now();
  const ms = () => performance.now() - begin;
  try {
    const outcome = await decodeFile(source, options, machine, {
      index: (index) => answer({ id, is: "index", index }),
      area: (area) => answer({ id, is: "area", area, ms: ms() }, [area.rgba.buffer]),
    });
    answer({ id, is: "done", outcome, ms: ms() });
  } catch (error) {
    const known = error instanceof Error ? error : new Error(String(error));
    const { name, message } = known;
    // of the runtime, which may not work again here, or of memory
    const isFatal = !(error instanceof HvaeError);
    answer({ id, is: "error", name, message, isFatal });
  } finally {
    sources.delete(id);
  }
}

function codecOf(hash: string): Promise<Codec> {
  let codec = codecs.get(hash);
  if (!codec) {
    if (!codecs.size) warmUp();
    codec = Codec.open(hash, fetchPart, ort as unknown as Ort);
    codecs.set(hash, codec);
    codec.catch(() => codecs.delete(hash));
  }
  return codec;
}

/** Let ONNX Runtime be fetched and compiled while the weights come. */
function warmUp(): void {
  // which it does before it looks at a model, and refuses this one
  ort.InferenceSession.create(new Uint8Array(0)).catch(() => undefined);
}

async function fetchPart(path: string): Promise<Uint8Array<ArrayBuffer> | null> {
  try {
    const response = await fetch(weights + path);
    if (response.status === 404) return null;
    if (!response.ok) throw await reasonOf(response);
    return new Uint8Array(await response.arrayBuffer());
  } catch (reason) {
    throw new HvaeError("WeightsError", `${path} of the weights does not load: ${reason}`);
  }
}

/** Why a server sends no file: its words, where they are for people, or its status. */
async function reasonOf(response: Response): Promise<string> {
  const isText = response.headers.get("content-type")?.startsWith("text/plain");
  return (isText && (await response.text()).split("\n")[0]) || `${response.status}`;
}

/** Return a function that opens a decoder once: a script and its WebAssembly, beside this file. */
function opener<Decode>(name: string): () => Promise<Decode> {
  let opened: Promise<Decode> | null = null;
  const fetched = async () => {
    const script: Promise<{ open(wasm: ArrayBuffer): Promise<Decode> }> = import(
      beside(`${name}.js`)
    );
    const [{ open }, wasm] = await Promise.all([script, wasmOf(`${name}.wasm`)]);
    return open(wasm);
  };
  return () => {
    if (!opened) {
      opened = fetched();
      opened.catch(() => (opened = null));
    }
    return opened;
  };
}

function beside(name: string): string {
  return new URL(name, import.meta.url).href;
}

async function wasmOf(name: string): Promise<ArrayBuffer> {
  const response = await fetch(beside(name));
  if (!response.ok) throw new Error(`${name} does not load: ${response.status}`);
  return response.arrayBuffer();
}

const openWebp = opener<DecodeWebp>("webp");
const openJpeg2000 = opener<DecodeJpeg2000>("jpeg2000");

const channel = new MessageChannel();
let breathing: (() => void)[] = [];
channel.port1.onmessage = () => {
  for (const resolve of breathing.splice(0)) resolve();
};

/** Let messages in that wait. */
function breath(): Promise<void> {
  return new Promise((resolve) => {
    breathing.push(resolve);
    channel.port2.postMessage(null);
  });
}
