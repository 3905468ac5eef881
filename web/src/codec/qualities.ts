/** The quality of a tile as networks take it: one for all of it, or one a patch. */

import type { Tensor } from "onnxruntime-common";
import type { Index } from "../bitstream/container.ts";
import type { Feeds, Graphs } from "./graphs.ts";
import { patchGrid, sizeOf, type Window } from "./tiling.ts";

/** Positions a side of a patch at strides 32, 8 and 4, where layers are conditioned. */
const A_SIDE = { quality_32: 1, quality_8: 4, quality_4: 8 };

export class Qualities {
  private constructor(
    /** The file's, which chooses the latent model. */
    readonly base: number,
    /** Of each patch, row by row; of all of them where it is but one. */
    readonly patches: Uint8Array,
    /** Rows and columns of patches; null where all have one quality. */
    readonly size: [number, number] | null,
  ) {}

  /** Return the quality of a part of a picture. */
  static of({ header, map }: Index, window: Window): Qualities {
    const { quality } = header;
    if (!map) return new Qualities(quality, Uint8Array.of(quality), null);
    const [height, width] = sizeOf(window);
    const columns = patchGrid(header).right;
    const patches = Uint8Array.from({ length: height * width }, (_, i) => {
      const row = window.top + Math.floor(i / width);
      return quality + map[row * columns + window.left + (i % width)];
    });
    return new Qualities(quality, patches, [height, width]);
  }

  /** Return the qualities at all strides, by the names that graphs have for them. */
  feeds(graphs: Graphs): Feeds {
    const names = Object.entries(A_SIDE);
    return Object.fromEntries(names.map(([name, side]) => [name, this.positions(graphs, side)]));
  }

  private positions({ ort }: Graphs, side: number): Tensor {
    if (!this.size) {
      return new ort.Tensor("int64", BigInt64Array.of(BigInt(this.base)), [1, 1, 1, 1]);
    }
    const [height, width] = this.size.map((patches) => patches * side);
    const values = BigInt64Array.from({ length: height * width }, (_, i) => {
      const row = Math.floor(i / width / side);
      return BigInt(this.patches[row * this.size![1] + Math.floor((i % width) / side)]);
    });
    return new ort.Tensor("int64", values, [1, 1, height, width]);
  }
}
