/**
 * The weights as they are served: a folder named by the first bytes of their hash, in it
 *
 *     context.safetensors    the prior of the context, the tables, and what describes the rest
 *     model-N.safetensors    trunk and synthesis of one range of qualities
 *
 * `hvae-codec export-web` writes them.
 */

import { HvaeError } from "../bitstream/errors.ts";
import { PmfTables } from "../bitstream/tables.ts";
import type { ModelConfig } from "./config.ts";

const FORMAT = "6";

type Integers = Int8Array | Int16Array | Int32Array | Uint32Array;

/** A tensor as it is stored. */
export interface Stored {
  type: string;
  shape: number[];
  bytes: Uint8Array<ArrayBuffer>;
}

interface Described {
  format: string;
  config: string;
  first_qualities: number[];
  weights: string;
}

/** A part of the weights: tensors, and graphs among them. */
export class Part {
  readonly tensors = new Map<string, Stored>();
  readonly described: Described;

  /** Read a part; throws WeightsError where it is none, as of a server that answers with a page. */
  static read(path: string, data: Uint8Array<ArrayBuffer>): Part {
    return soundly(`${path} of the weights`, () => new Part(data));
  }

  private constructor(data: Uint8Array<ArrayBuffer>) {
    const size = Number(new DataView(data.buffer, data.byteOffset).getBigUint64(0, true));
    const header = JSON.parse(new TextDecoder().decode(data.subarray(8, 8 + size)));
    this.described = JSON.parse(header.__metadata__.hvae_codec);
    if (this.described.format !== FORMAT) {
      throw new HvaeError(
        "WeightsError",
        `the weights have format ${this.described.format}, this program reads ${FORMAT}`,
      );
    }
    for (const [name, { dtype, shape, data_offsets }] of Object.entries<any>(header)) {
      if (name === "__metadata__") continue;
      const [begin, end] = data_offsets;
      const bytes = data.subarray(8 + size + begin, 8 + size + end);
      if (!(begin >= 0) || bytes.length !== end - begin) throw new RangeError(`${name} is cut`);
      this.tensors.set(name, { type: dtype, shape, bytes });
    }
  }

  get(name: string): Stored {
    const found = this.tensors.get(name);
    if (!found) throw new HvaeError("WeightsError", `the weights lack ${name}`);
    return found;
  }
}

/** Read something of the weights; throws WeightsError, whatever is wrong with it. */
function soundly<T>(what: string, read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (error instanceof HvaeError) throw error;
    throw new HvaeError("WeightsError", `${what} cannot be read (${error})`);
  }
}

/** Return the numbers of a tensor of integers. */
export function integers({ type, bytes }: Stored): Integers {
  const kinds = { I8: Int8Array, I16: Int16Array, I32: Int32Array, U32: Uint32Array };
  return soundly("a tensor of the weights", () => {
    const Kind = kinds[type as keyof typeof kinds];
    const size = Kind.BYTES_PER_ELEMENT;
    const { buffer, byteOffset } = bytes.byteOffset % size ? bytes.slice() : bytes;
    return new Kind(buffer, byteOffset, bytes.length / size);
  });
}

/** Fetch a file of the weights; returns null where there is none. */
export type Fetch = (path: string) => Promise<Uint8Array<ArrayBuffer> | null>;

/** The parts of a weight file, each fetched when it is needed. */
export class Weights {
  readonly config: ModelConfig;
  private models = new Map<number, Promise<Part>>();

  private constructor(
    readonly hash: string,
    readonly context: Part,
    private fetch: Fetch,
  ) {
    this.config = soundly("the configuration", () => JSON.parse(context.described.config));
    if (this.config.linear_from < 100) {
      throw new HvaeError(
        "WeightsError",
        `the weights ${hash} are open, which is not decoded here`,
      );
    }
  }

  /** Fetch the part of the context; throws WrongWeights where there is none of that hash. */
  static async open(hash: string, fetch: Fetch): Promise<Weights> {
    const path = `${hash}/context.safetensors`;
    const data = await fetch(path);
    if (!data) {
      throw new HvaeError(
        "WrongWeights",
        `the file was written with the weights ${hash}, which are not at hand`,
      );
    }
    const part = Part.read(path, data);
    if (!`${part.described.weights}`.startsWith(hash)) {
      throw new HvaeError("WeightsError", `the folder ${hash} holds other weights`);
    }
    return new Weights(hash, part, fetch);
  }

  tables(): PmfTables {
    const [pmf, start, length] = ["pmf", "start", "length"].map((name) =>
      integers(this.context.get(`tables.${name}`)),
    );
    return new PmfTables(pmf as Uint32Array, start as Int32Array, length as Int32Array);
  }

  /** Return the number of the model that serves a quality. */
  modelAt(quality: number): number {
    return this.context.described.first_qualities.filter((first) => first <= quality).length - 1;
  }

  model(number: number): Promise<Part> {
    let part = this.models.get(number);
    if (!part) {
      part = this.fetchModel(number);
      this.models.set(number, part);
      part.catch(() => this.models.delete(number));
    }
    return part;
  }

  private async fetchModel(number: number): Promise<Part> {
    const path = `${this.hash}/model-${number}.safetensors`;
    const data = await this.fetch(path);
    if (!data) throw new HvaeError("WeightsError", `the weights ${this.hash} lack model ${number}`);
    const part = Part.read(path, data);
    if (part.described.weights !== this.context.described.weights) {
      throw new HvaeError("WeightsError", `${path} is of other weights than its context`);
    }
    return part;
  }
}
