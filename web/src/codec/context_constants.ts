/**
 * What the graphs of the context prior take beside a picture: its tensors, at one quality
 * (codec/onnx_constants.py). All numbers are integers times powers of two, and exact.
 */

import type { Tensor } from "onnxruntime-common";
import { contextSchedule, type Step } from "./schedule.ts";
import type { Feeds, Graphs } from "./graphs.ts";
import { integers } from "./weights.ts";

const PRIOR = "context.priors.masked-diffusion";
const UNIT = 64; // activations are multiples of 1/64
const KNOT_SPAN = 10; // qualities from a knot to the next
const KNOT_UNIT = 16; // gains at the knots are sixteenths of those between them

/** Filters and biases, prepared once for all qualities, by their names. */
export type Filters = Map<string, Tensor>;

export interface ContextConstants {
  /** Of each step, the inputs of the graph that brings the state to it. */
  steps: Feeds[];
  /** Of each step and slice, those of the graph that predicts it. */
  slices: Feeds[][];
}

/** Prepare what the graphs take; filters that are not among `filters` are added there. */
export function contextConstants(
  graphs: Graphs,
  quality: number,
  filters: Filters,
): ContextConstants {
  const schedule = contextSchedule(graphs.weights.config);
  const prepare = new Prepare(graphs, quality, filters);
  return {
    steps: schedule.map((step) => prepare.step(schedule, step)),
    slices: schedule.map((step) => step.slices.map((_, number) => prepare.slice(step, number))),
  };
}

class Prepare {
  /** The names of the tensors below each module. */
  private modules = new Map<string, string[]>();

  constructor(
    private graphs: Graphs,
    private quality: number,
    private filters: Filters,
  ) {
    for (const name of graphs.weights.context.tensors.keys()) {
      for (let dot = name.indexOf("."); dot > 0; dot = name.indexOf(".", dot + 1)) {
        const module = name.slice(0, dot);
        const below = this.modules.get(module);
        if (below) below.push(name);
        else this.modules.set(module, [name]);
      }
    }
  }

  step(schedule: Step[], step: Step): Feeds {
    const own = `${PRIOR}.steps.${step.number}`;
    if (step.number === 0) {
      return {
        ...this.gain("prior.start", `${PRIOR}.start`),
        ...this.layers("prior.steps.0.head", `${own}.head`),
      };
    }
    const before = schedule[step.number - 1];
    return {
      ...this.norm("inward", before.start, before.stop, 4),
      ...this.layers("current.head", `${own}.head`),
      ...this.layers("previous.embed", `${PRIOR}.steps.${before.number}.embed`),
      ...(step.hasBlock ? this.layers("current.block", `${own}.block`) : {}),
    };
  }

  slice(step: Step, number: number): Feeds {
    const own = `${PRIOR}.steps.${step.number}`;
    const [start, stop] = step.slices[number];
    const means = Array.from({ length: stop - start }, (_, i) => start - step.start + i);
    const outputs = [...means, ...means.map((mean) => step.stop - step.start + mean)];
    const feeds: Feeds = {
      ...this.gain("current.head_gain", `${own}.head_gain`, outputs),
      ...this.norm("outward", start, stop, 3),
      outputs: this.graphs.integers(outputs),
    };
    if (!number) return feeds;
    return {
      ...feeds,
      ...this.layers("current.channel_contexts.1", `${own}.channel_contexts.${number - 1}`),
      ...this.norm("inward", step.start, start, 3),
    };
  }

  /** Return the tensors of all layers of a module, by the names that graphs have for them. */
  private layers(prefix: string, module: string): Feeds {
    const found: Feeds = {};
    for (const name of this.modules.get(module)!) {
      const dot = name.lastIndexOf(".");
      const [layer, kind] = [name.slice(0, dot), name.slice(dot + 1)];
      const here = prefix + layer.slice(module.length);
      if (kind === "weight" || kind === "bias") found[`${here}.${kind}`] = this.filter(name, layer);
      else if (kind === "knots") Object.assign(found, this.gain(here, layer));
    }
    return found;
  }

  /** Return filters or biases with the shifts of their layer taken into them. */
  private filter(name: string, layer: string): Tensor {
    let tensor = this.filters.get(name);
    if (!tensor) {
      const stored = this.graphs.weights.context.get(name);
      const array = integers(stored);
      const shifts = integers(this.graphs.weights.context.get(`${layer}.shift`));
      const each = array.length / shifts.length;
      const scaled = new Float32Array(array.length);
      for (let i = 0; i < shifts.length; i++) {
        const factor = 2 ** -shifts[i];
        for (let j = i * each; j < (i + 1) * each; j++) scaled[j] = array[j] * factor;
      }
      tensor = this.graphs.floats(scaled, stored.shape);
      this.filters.set(name, tensor);
    }
    return tensor;
  }

  /** Return factor and offset of some channels of a gain, of all by default. */
  private gain(prefix: string, layer: string, channels?: number[]): Feeds {
    const stored = this.graphs.weights.context.get(`${layer}.knots`);
    const knots = integers(stored);
    const width = stored.shape[2];
    const chosen = channels ?? Array.from({ length: width }, (_, i) => i);
    const low = Math.floor(this.quality / KNOT_SPAN);
    const part = this.quality % KNOT_SPAN;
    const unit = KNOT_SPAN * KNOT_UNIT;
    const row = (kind: number) =>
      Float32Array.from(chosen, (channel) => {
        const at = (knot: number) => knots[(knot * 2 + kind) * width + channel];
        const sums = (KNOT_SPAN - part) * at(low) + (part ? part * at(low + 1) : 0);
        return Math.floor((sums + unit / 2) / unit);
      });
    const shape = [1, chosen.length, 1, 1];
    return {
      [`${prefix}.factor`]: this.graphs.floats(
        row(0).map((scale) => scale / UNIT),
        shape,
      ),
      [`${prefix}.offset`]: this.graphs.floats(
        row(1).map((shift) => shift + 0.5),
        shape,
      ),
    };
  }

  /** Return the row of the norm for some channels of arrays of so many dimensions. */
  private norm(way: "inward" | "outward", start: number, stop: number, dimensions: number): Feeds {
    const stored = this.graphs.weights.context.get(`context.norm.${way}_table`);
    const unit = way === "inward" ? 2 ** -8 : 2 ** -12;
    const begin = this.quality * stored.shape[1];
    const row = Float64Array.from(integers(stored).slice(begin + start, begin + stop)).map(
      (value) => value * unit,
    );
    const shape = [1, row.length, ...(dimensions === 4 ? [1, 1] : [1])];
    return { [`norm.${way}_row`]: new this.graphs.ort.Tensor("float64", row, shape) };
  }
}
