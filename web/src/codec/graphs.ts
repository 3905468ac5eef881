/** The graphs of the weights in ONNX Runtime: made ready when first run. */

import type { InferenceSession, Tensor, TypedTensor } from "onnxruntime-common";
import { HvaeError } from "../bitstream/errors.ts";
import { withTensors } from "./onnx_file.ts";
import type { Part, Weights } from "./weights.ts";

/** What is used of the package onnxruntime-web. */
export interface Ort {
  InferenceSession: typeof InferenceSession;
  Tensor: typeof Tensor;
}

export type Feeds = Record<string, Tensor>;
export type Floats = TypedTensor<"float32">;

const FLOAT_NETWORKS = ["synthesis"];
const SUM_LIMIT = 2 ** 24; // below it float32 holds every integer
const ACTIVATION_MAX = 1023;

/** The graphs of one weight file. */
export class Graphs {
  private ready = new Map<string, Promise<InferenceSession>>();

  constructor(
    readonly ort: Ort,
    readonly weights: Weights,
  ) {}

  floats(data: Float32Array, shape: readonly number[]): Floats {
    return new this.ort.Tensor("float32", data, shape) as Floats;
  }

  integers(values: ArrayLike<number>): Tensor {
    return new this.ort.Tensor("int64", BigInt64Array.from(values as number[], BigInt), [
      values.length,
    ]);
  }

  /** Run a graph, with the tensors of a latent model where it needs one; returns its outputs. */
  async run(name: string, feeds: Feeds, model?: number): Promise<Tensor[]> {
    const session = await this.session(name, model);
    const own = Object.fromEntries(session.inputNames.map((input) => [input, feeds[input]]));
    const found = await session.run(own);
    return session.outputNames.map((output) => found[output] as Tensor);
  }

  /** Make a graph ready. */
  session(name: string, model?: number): Promise<InferenceSession> {
    const key = `${model ?? ""}.${name}`;
    let session = this.ready.get(key);
    if (!session) {
      session = this.made(name, model);
      this.ready.set(key, session);
      session.catch(() => this.ready.delete(key));
    }
    return session;
  }

  private async made(name: string, model?: number): Promise<InferenceSession> {
    const context = this.weights.context;
    const part: Part = model === undefined ? context : await this.weights.model(model);
    const graph = part.get(`graphs.${name}`).bytes;
    const bytes = withTensors(graph, (tensor) => {
      const from = tensor.startsWith("context.") ? context : part;
      return from.get(tensor).bytes;
    });
    // what is optimised further than this gains nothing between the floors of integer networks
    const level = FLOAT_NETWORKS.includes(name) ? "all" : "basic";
    return this.ort.InferenceSession.create(bytes, {
      executionProviders: ["wasm"],
      graphOptimizationLevel: level,
      logSeverityLevel: 3,
      // an arena for each graph would keep all that its largest run took
      enableCpuMemArena: false,
      enableMemPattern: false,
    });
  }
}

/** Convolve numbers near the bound, whose sums are known; throws BoundError where they differ. */
export async function checkArithmetic(graphs: Graphs): Promise<void> {
  const [channels, rows, columns] = [32, 12, 20];
  const largest = Math.floor(SUM_LIMIT / (channels * 9 * ACTIVATION_MAX));
  const x = Float32Array.from(
    { length: channels * rows * columns },
    (_, i) => ACTIVATION_MAX - ((i * 37) % 64),
  );
  const weight = Float32Array.from({ length: channels * channels * 9 }, (_, i) => {
    const size = largest - ((i * 11) % 17);
    return Math.floor(i / (channels * 9)) % 2 ? size : -size;
  });
  const [sums] = await graphs.run("convolution", {
    x: graphs.floats(x, [1, channels, rows, columns]),
    "conv.weight": graphs.floats(weight, [channels, channels, 3, 3]),
    "conv.bias": graphs.floats(new Float32Array(channels), [channels]),
  });
  const expected = (out: number, row: number, column: number): number => {
    let sum = 0;
    for (let c = 0; c < channels; c++) {
      for (let i = 0; i < 9; i++) {
        const [y, z] = [row + Math.floor(i / 3) - 1, column + (i % 3) - 1];
        if (y < 0 || y >= rows || z < 0 || z >= columns) continue;
        sum += weight[(out * channels + c) * 9 + i] * x[(c * rows + y) * columns + z];
      }
    }
    return sum;
  };
  // some in each channel: all would take longer than the convolution is worth
  for (let at = 0; at < sums.size; at += 13) {
    const [out, row] = [Math.floor(at / (rows * columns)), Math.floor(at / columns) % rows];
    if (sums.data[at] !== expected(out, row, at % columns)) {
      throw new HvaeError(
        "BoundError",
        "convolutions are not exact here: some setting computes in fewer bits",
      );
    }
  }
}
