/** The latents of a tile, popped level by level down the trunk (codec/networks/onnx_runtime.py). */

import type { Tensor } from "onnxruntime-common";
import type { Stack } from "../bitstream/ans.ts";
import { LATENTS_A_SIDE, sum } from "./config.ts";
import type { Feeds, Floats, Graphs } from "./graphs.ts";
import { latentSchedule, positions, type Step } from "./schedule.ts";
import { latentTable, offsetTable, type Tables } from "./tables.ts";

/** A walk down the trunk that stops after any level, and goes on from there. */
export class LatentWalk {
  /** What the synthesis sees: (C, rows, columns), in steps. */
  private readonly latents: Float32Array;
  private h: Tensor | null = null;
  private known: Floats | null = null;
  private schedule: Step[];
  private next = 0;
  readonly rows: number;
  readonly columns: number;

  constructor(
    private graphs: Graphs,
    private tables: Tables,
    private model: number,
    private qualities: Feeds,
    private mask: boolean[],
    private u: Floats,
    latents?: Float32Array,
  ) {
    const config = graphs.weights.config;
    [this.rows, this.columns] = u.dims.slice(2).map((side) => side * LATENTS_A_SIDE);
    const size = sum(config.level_channels) * this.rows * this.columns;
    this.latents = latents ?? new Float32Array(size);
    this.schedule = latentSchedule(config);
  }

  /**
   * Return a walk that goes on from here by itself. Both write the same latents: each step has
   * channels of its own, so whichever walk goes on later overwrites what the other left there.
   */
  fork(): LatentWalk {
    const { graphs, tables, model, qualities, mask, u } = this;
    const other = new LatentWalk(graphs, tables, model, qualities, mask, u, this.latents);
    [other.h, other.known, other.next] = [this.h, this.known, this.next];
    return other;
  }

  /** Pop the next level; returns what its check is of: its scale offsets, then its steps. */
  async popLevel(stack: Stack): Promise<Int32Array[]> {
    const level = this.schedule[this.next].level;
    const size = this.rows * this.columns;
    const { pmfs } = this.tables;
    const coded: Int32Array[] = [];
    while (this.schedule[this.next]?.level === level) {
      await this.step((step, where, quarters) => {
        const places = this.codedPlaces(step, where, quarters);
        const channels = places.map((place) => Math.floor(place / size));
        if (!coded.length) {
          const counts = new Int32Array(step.stop - step.start);
          for (const channel of channels) counts[channel]++;
          coded.push(stack.pop(Uint16Array.from(counts, offsetTable), pmfs));
        }
        const [offsets] = coded;
        const index = new Uint16Array(places.length);
        for (let i = 0; i < places.length; i++) {
          index[i] = latentTable(quarters[places[i]], offsets[channels[i]]);
        }
        const symbols = stack.pop(index, pmfs);
        coded.push(symbols);
        return { places, symbols };
      });
    }
    return coded;
  }

  /** Leave the levels that are left at their means; returns all latents. */
  async finish(): Promise<Float32Array> {
    const none = new Int32Array(0);
    while (this.next < this.schedule.length) {
      await this.step(() => ({ places: none, symbols: none }));
    }
    const size = this.rows * this.columns;
    this.mask.forEach((isCoded, channel) => {
      if (!isCoded) this.latents.fill(0, channel * size, (channel + 1) * size);
    });
    [this.h, this.known] = [null, null];
    return this.latents;
  }

  /** Predict a step, and take in the symbols that `code` gives, and where they are in (c, H, W). */
  private async step(
    code: (
      step: Step,
      where: Int32Array,
      quarters: Uint8Array,
    ) => { places: Int32Array; symbols: Int32Array },
  ): Promise<void> {
    const { qualities } = this;
    if (!this.h) {
      [this.h] = await this.graphs.run("trunk.begin", { u: this.u, ...qualities }, this.model);
    }
    const step = this.schedule[this.next++];
    const feeds = { h: this.h, ...qualities, ...(this.known && { values: this.known }) };
    const found = await this.graphs.run(`trunk.step.${step.number}`, feeds, this.model);
    this.h = found[0];
    const [means, quarters] = [found[1].data as Float32Array, found[2].data as Uint8Array];
    const where = positions(this.rows, this.columns, step.squares);
    const { places, symbols } = code(step, where, quarters);

    const size = this.rows * this.columns;
    const channels = step.stop - step.start;
    const values = new Float32Array(channels * size);
    const shown = this.latents.subarray(step.start * size, step.stop * size);
    for (let channel = 0; channel < channels * size; channel += size) {
      for (const place of where) {
        values[channel + place] = shown[channel + place] = means[channel + place];
      }
    }
    const far = places.filter((_, i) => symbols[i]);
    const steps = Float32Array.from(symbols.filter((symbol) => symbol));
    if (far.length) {
      const here = Uint8Array.from(far, (place) => quarters[place]);
      const [moved] = await this.graphs.run(
        "reconstruction",
        {
          quarters: new this.graphs.ort.Tensor("uint8", here, [far.length]),
          symbols: this.graphs.floats(steps, [far.length]),
        },
        this.model,
      );
      const offsets = moved.data as Float32Array;
      for (let i = 0; i < far.length; i++) {
        values[far[i]] += steps[i];
        shown[far[i]] = values[far[i]] + offsets[i];
      }
    }
    this.known = this.graphs.floats(values, [1, channels, this.rows, this.columns]);
  }

  /** Return where in (c, H, W) latents of a step are coded, in their order. */
  private codedPlaces(step: Step, where: Int32Array, quarters: Uint8Array): Int32Array {
    const size = this.rows * this.columns;
    const places = new Int32Array((step.stop - step.start) * where.length);
    let found = 0;
    for (let channel = 0; channel < step.stop - step.start; channel++) {
      if (!this.mask[step.start + channel]) continue;
      for (const position of where) {
        const place = channel * size + position;
        if (!this.tables.isSkipped[quarters[place]]) places[found++] = place;
      }
    }
    return places.subarray(0, found);
  }
}
