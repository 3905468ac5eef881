/** The context of a tile, popped under the masked diffusion, step by step (codec/networks/onnx_runtime.py). */

import type { Tensor } from "onnxruntime-common";
import type { Stack } from "../bitstream/ans.ts";
import { contextChannels } from "./config.ts";
import type { ContextConstants } from "./context_constants.ts";
import type { Floats, Graphs } from "./graphs.ts";
import { contextSchedule, positions, type Step } from "./schedule.ts";
import { contextTable, offsetTable, type Tables } from "./tables.ts";

/** What is known of the context while it is popped. */
interface State {
  height: number;
  width: number;
  context: Float32Array;
  h: Tensor | null;
}

/** Pop the context of a tile of height by width patches: integers (C, height, width). */
export async function popContext(
  graphs: Graphs,
  constants: ContextConstants,
  tables: Tables,
  stack: Stack,
  mask: boolean[],
  [height, width]: [number, number],
): Promise<Float32Array> {
  const config = graphs.weights.config;
  const schedule = contextSchedule(config);
  const offsets = popOffsets(stack, tables, mask, height * width);
  const context = new Float32Array(contextChannels(config) * height * width);
  const state: State = { height, width, context, h: null };
  for (const step of schedule) {
    const where = positions(height, width, step.squares);
    const [h, here, raw] = await advance(graphs, constants, schedule, step, state, where);
    state.h = h;
    const known: Slice[] = [];
    for (let number = 0; number < step.slices.length; number++) {
      const slice = await predict(graphs, constants, step, number, here, raw, known);
      const coded = popSlice(stack, tables, step.slices[number][0], slice, where, mask, offsets);
      for (const [channel, position, value] of coded) {
        slice.values[channel * slice.count + position] = value;
        const place = (step.slices[number][0] + channel) * height * width + where[position];
        context[place] = value;
      }
      known.push(slice);
    }
  }
  return context;
}

function popOffsets(stack: Stack, tables: Tables, mask: boolean[], patches: number): Int32Array {
  const coded = mask.flatMap((is, channel) => (is ? [channel] : []));
  const own = new Uint16Array(coded.length).fill(offsetTable(patches));
  const popped = stack.pop(own, tables.pmfs);
  const offsets = new Int32Array(mask.length);
  coded.forEach((channel, i) => (offsets[channel] = popped[i]));
  return offsets;
}

/** Bring the state to the beginning of a step; returns state, state at the squares, head. */
function advance(
  graphs: Graphs,
  constants: ContextConstants,
  schedule: Step[],
  step: Step,
  { height, width, context, h }: State,
  where: Int32Array,
): Promise<Tensor[]> {
  // a graph takes no empty tensor: what it says of one position too many is not used
  const feeds = {
    ...constants.steps[step.number],
    positions: graphs.integers(where.length ? where : [0]),
  };
  if (!h) {
    const channels = graphs.weights.config.prior_width;
    const nothing = new Float32Array(channels * height * width);
    const shape = [1, channels, height, width];
    return graphs.run("context.begin", { ...feeds, nothing: graphs.floats(nothing, shape) });
  }
  const before = schedule[step.number - 1];
  const size = height * width;
  const values = new Float32Array((before.stop - before.start) * size);
  const shown = positions(height, width, before.squares);
  for (let channel = before.start; channel < before.stop; channel++) {
    for (const place of shown) {
      values[(channel - before.start) * size + place] = context[channel * size + place];
    }
  }
  const shape = [1, before.stop - before.start, height, width];
  return graphs.run(step.hasBlock ? "context.step" : "context.blind_step", {
    ...feeds,
    h,
    values: graphs.floats(values, shape),
  });
}

/** A slice of channels: what is predicted, and what was coded, (channels, count) each. */
interface Slice {
  channels: number;
  count: number;
  mean: Float32Array;
  steps: Float32Array;
  quarters: Uint8Array;
  values: Float32Array;
}

async function predict(
  graphs: Graphs,
  constants: ContextConstants,
  step: Step,
  number: number,
  here: Tensor,
  raw: Tensor,
  known: Slice[],
): Promise<Slice> {
  const feeds = { ...constants.slices[step.number][number], raw };
  const together = (key: "values" | "mean"): Floats => {
    const channels = known.reduce((total, slice) => total + slice.channels, 0);
    const { count } = known[0];
    const all = new Float32Array(channels * count);
    let at = 0;
    for (const slice of known) {
      all.set(slice[key], at);
      at += slice[key].length;
    }
    return graphs.floats(all, [1, channels, count]);
  };
  const [mean, steps, quarters] = number
    ? await graphs.run("context.slice", {
        ...feeds,
        here,
        values: together("values"),
        means: together("mean"),
      })
    : await graphs.run("context.first_slice", feeds);
  const [, channels, count] = steps.dims;
  return {
    channels,
    count,
    mean: mean.data as Float32Array,
    steps: steps.data as Float32Array,
    quarters: quarters.data as Uint8Array,
    values: new Float32Array(channels * count),
  };
}

/** Pop the values of a slice: channel, number of the position and value of each. */
function popSlice(
  stack: Stack,
  tables: Tables,
  start: number,
  slice: Slice,
  where: Int32Array,
  mask: boolean[],
  offsets: Int32Array,
): [number, number, number][] {
  const index: number[] = [];
  const coded: [number, number, number][] = [];
  for (let channel = 0; channel < slice.channels; channel++) {
    if (!mask[start + channel]) continue; // zero on both sides
    for (let position = 0; position < where.length; position++) {
      const at = channel * slice.count + position;
      const eighths = Math.round(slice.steps[at] * 8);
      index.push(contextTable(eighths, slice.quarters[at], offsets[start + channel]));
      coded.push([channel, position, eighths >> 3]);
    }
  }
  const symbols = stack.pop(Uint16Array.from(index), tables.pmfs);
  coded.forEach((entry, i) => (entry[2] += symbols[i]));
  return coded;
}
