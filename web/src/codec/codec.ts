/** The weights of a file and what runs their networks. */

import { contextChannels, type ModelConfig } from "./config.ts";
import { type ContextConstants, contextConstants, type Filters } from "./context_constants.ts";
import { checkArithmetic, Graphs, type Ort } from "./graphs.ts";
import { Tables } from "./tables.ts";
import type { Qualities } from "./qualities.ts";
import { type Fetch, Weights } from "./weights.ts";

export class Codec {
  readonly config: ModelConfig;
  readonly contextChannels: number;
  readonly tables: Tables;
  private filters: Filters = new Map();
  private prepared: [number, ContextConstants] | null = null;

  private constructor(
    readonly weights: Weights,
    readonly graphs: Graphs,
  ) {
    this.config = weights.config;
    this.contextChannels = contextChannels(weights.config);
    this.tables = new Tables(weights.tables());
  }

  /** Fetch the weights of a hash and check that this machine computes exactly. */
  static async open(hash: string, fetch: Fetch, ort: Ort): Promise<Codec> {
    const weights = await Weights.open(hash, fetch);
    const codec = new Codec(weights, new Graphs(ort, weights));
    await checkArithmetic(codec.graphs);
    return codec;
  }

  /** Begin to fetch the model of a quality; whoever needs it gets its errors. */
  fetchModel(quality: number): void {
    this.weights.model(this.weights.modelAt(quality)).catch(() => undefined);
  }

  /** Return the tensors of the context prior at some qualities; those of the last single one are kept. */
  constants(qualities: Qualities): ContextConstants {
    if (qualities.size) return contextConstants(this.graphs, qualities, this.filters);
    if (this.prepared?.[0] !== qualities.base) {
      const made = contextConstants(this.graphs, qualities, this.filters);
      this.prepared = [qualities.base, made];
    }
    return this.prepared[1];
  }

  /** Return RGB (3, H, W) in 0...255 of a context and latents of h by w patches. */
  async synthesise(
    context: Float32Array,
    latents: Float32Array,
    [height, width]: [number, number],
    qualities: Qualities,
  ): Promise<Float32Array> {
    const { graphs } = this;
    const model = this.weights.modelAt(qualities.base);
    const feeds = {
      u: graphs.floats(context, [1, this.contextChannels, height, width]),
      latents: graphs.floats(latents, [
        1,
        latents.length / (16 * height * width),
        4 * height,
        4 * width,
      ]),
      ...qualities.feeds(graphs),
    };
    const [rgb] = await graphs.run("synthesis", feeds, model);
    return rgb.data as Float32Array;
  }
}
