/** A tile: words to context and latents, level by level, each held against its check. */

import { Stack } from "../bitstream/ans.ts";
import {
  type Index,
  isIntact,
  levelCheck,
  readWords,
  type TileIndex,
} from "../bitstream/container.ts";
import { HvaeError, tileDamaged } from "../bitstream/errors.ts";
import type { Codec } from "./codec.ts";
import { popContext } from "./context.ts";
import { LatentWalk } from "./latents.ts";
import { Qualities } from "./qualities.ts";
import { contextMask, latentMask } from "./schedule.ts";
import { sizeOf, type Window } from "./tiling.ts";

/** A tile on its way from words to latents. */
export class Tile {
  /** Levels that were popped and are as they were coded, the context included. */
  intact = 0;
  /** (C, h, w) integers; zeros before the first level. */
  context: Float32Array;
  /** Whether a level is there, but not as it was coded. */
  isDamaged = false;
  private stack: Stack | null = null;
  private walk: LatentWalk | null = null;
  private check: number;
  private qualities: Qualities;

  constructor(
    private codec: Codec,
    private index: Index,
    private coded: TileIndex,
    readonly window: Window,
  ) {
    const [height, width] = sizeOf(window);
    this.context = new Float32Array(codec.contextChannels * height * width);
    this.check = coded.number;
    this.qualities = Qualities.of(index, window);
  }

  get number(): number {
    return this.coded.number;
  }

  /** Return how many levels are there, of a file of which so many bytes are; some take none. */
  levelsThere(size: number): number {
    const missing = this.coded.levels.findIndex(({ begin, end }) => end > Math.max(begin, size));
    return missing < 0 ? this.coded.levels.length : missing;
  }

  /**
   * Pop levels that are there, until so many are popped.
   *
   * Throws TileDamaged where symbols are not what was coded. The tile is then as before that level.
   */
  async pop(data: Uint8Array, levels: number): Promise<void> {
    while (this.intact < levels) {
      const [stack, walk] = [this.stack?.clone(), this.walk?.fork()];
      try {
        await this.popLevel(readWords(data, this.coded, levels));
      } catch (error) {
        this.isDamaged = true;
        [this.stack, this.walk] = [stack ?? null, walk ?? null];
        if (error instanceof HvaeError && error.name === "StreamDamaged") {
          throw tileDamaged(this.number, error.message);
        }
        throw error;
      }
    }
  }

  private async popLevel(words: Uint32Array): Promise<void> {
    const { codec, index, coded } = this;
    const level = this.intact;
    const { header } = index;
    if (this.stack) this.stack.extend(words);
    else this.stack = new Stack(words);
    let symbols: Int32Array[];
    if (level === 0) {
      const mask = contextMask(codec.config, header.isGrey);
      const constants = codec.constants(this.qualities);
      const size = sizeOf(this.window);
      const context = await popContext(
        codec.graphs,
        constants,
        codec.tables,
        this.stack,
        mask,
        size,
      );
      symbols = [Int32Array.from(context)];
      this.context = context;
    } else {
      this.walk ??= this.newWalk();
      symbols = await this.walk.popLevel(this.stack);
    }
    const check = levelCheck(this.check, symbols);
    if (level === index.levels - 1) this.stack.checkEmpty();
    if (!isIntact(coded, level, check)) {
      if (level === 0) this.context.fill(0);
      throw tileDamaged(this.number);
    }
    this.check = check;
    this.intact++;
  }

  /** Return the latents (C, 4h, 4w), with the levels that are not popped at their means. */
  async latents(): Promise<Float32Array> {
    const walk =
      this.intact === this.index.levels ? this.walk! : (this.walk ?? this.newWalk()).fork();
    return walk.finish();
  }

  /** Let go of all but the context and the words. */
  release(): void {
    this.walk = null;
  }

  private newWalk(): LatentWalk {
    const { codec, index } = this;
    const u = codec.graphs.floats(this.context, [1, codec.contextChannels, ...sizeOf(this.window)]);
    const mask = latentMask(codec.config, index.header.isGrey);
    const model = codec.weights.modelAt(this.qualities.base);
    const qualities = this.qualities.feeds(codec.graphs);
    return new LatentWalk(codec.graphs, codec.tables, model, qualities, mask, u);
  }
}
