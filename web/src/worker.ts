/** The worker that decodes: the page stays free. */

import * as ort from "onnxruntime-web/wasm";
import { HvaeError } from "./bitstream/errors.ts";
import { Codec } from "./codec/codec.ts";
import { decodeFile } from "./codec/decoder.ts";
import type { DecodeJpeg2000 } from "./codec/lossless.ts";
import type { Machine } from "./codec/options.ts";
import type { Ort } from "./codec/graphs.ts";
import { Source } from "./codec/source.ts";
import type { Answer, Order } from "./messages.ts";

const sources = new Map<number, Source>();
const codecs = new Map<string, Promise<Codec>>();
let weights = "";

self.onmessage = ({ data: order }: MessageEvent<Order>) => {
  if (order.do === "start") {
    weights = order.weights;
    ort.env.wasm.wasmPaths = order.runtime;
    ort.env.wasm.numThreads = self.crossOriginIsolated
      ? Math.min(4, navigator.hardwareConcurrency)
      : 1;
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
    decodeWebp,
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

async function decodeWebp(file: Uint8Array<ArrayBuffer>): Promise<Uint8ClampedArray | null> {
  const blob = new Blob([file], { type: "image/webp" });
  const image = await createImageBitmap(blob, {
    colorSpaceConversion: "none",
    premultiplyAlpha: "none",
  }).catch(() => null);
  if (!image) return null;
  const { width, height } = image;
  const context = canvasOf(width, height);
  context.drawImage(image, 0, 0);
  image.close(); // its memory would wait for the garbage collector
  checkCanvas();
  return context.getImageData(0, 0, width, height).data;
}

function canvasOf(width: number, height: number): OffscreenCanvasRenderingContext2D {
  const canvas = new OffscreenCanvas(width, height);
  return canvas.getContext("2d", { willReadFrequently: true })!;
}

/** Refuse a browser whose canvas gives back noise; of some it is small, and does not show. */
function checkCanvas(): void {
  const drawn = new ImageData(16, 16);
  drawn.data.forEach((_, i, data) => (data[i] = i % 4 < 3 ? (i * 37) % 256 : 255));
  const context = canvasOf(16, 16);
  context.putImageData(drawn, 0, 0);
  const read = context.getImageData(0, 0, 16, 16).data;
  if (drawn.data.every((sample, i) => Math.abs(sample - read[i]) <= 4)) return;
  throw new Error("this browser hides its canvas from pages: exact tiles and alpha need it");
}

let jpeg2000: Promise<DecodeJpeg2000> | null = null;

/** Fetch OpenJPEG once; it lies beside this file. */
function openJpeg2000(): Promise<DecodeJpeg2000> {
  if (!jpeg2000) {
    jpeg2000 = fetchJpeg2000();
    jpeg2000.catch(() => (jpeg2000 = null));
  }
  return jpeg2000;
}

async function fetchJpeg2000(): Promise<DecodeJpeg2000> {
  const [script, response] = await Promise.all([
    import(new URL("jpeg2000.js", import.meta.url).href) as Promise<typeof import("./jpeg2000.ts")>,
    fetch(new URL("jpeg2000.wasm", import.meta.url)),
  ]);
  if (!response.ok) throw new Error(`jpeg2000.wasm does not load: ${response.status}`);
  return script.openJpeg2000(await response.arrayBuffer());
}

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
