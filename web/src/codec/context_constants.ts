/**
 * What the graphs of the context prior take beside a picture: its tensors, by quality
 * (codec/networks/onnx_constants.py). All numbers are integers times powers of two, and exact.
 */

import type { Tensor } from "onnxruntime-common";
import { contextSchedule, positions, type Step } from "./schedule.ts";
import type { Feeds, Graphs } from "./graphs.ts";
import type { Qualities } from "./qualities.ts";
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
  qualities: Qualities,
  filters: Filters,
): ContextConstants {
  const schedule = contextSchedule(graphs.weights.config);
  const prepare = new Prepare(graphs, qualities, filters);
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
    private qualities: Qualities,
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
        ...this.gain("prior.start", `${PRIOR}.start`, this.everywhere()),
        ...this.layers("prior.steps.0.head", `${own}.head`),
      };
    }
    const before = schedule[step.number - 1];
    return {
      ...this.norm("inward", before.start, before.stop, this.everywhere()),
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
    const here = this.picked(step);
    const column = { ...here, shape: [...here.shape, 1] };
    const feeds: Feeds = {
      ...this.gain("current.head_gain", `${own}.head_gain`, column, outputs),
      ...this.norm("outward", start, stop, here),
      outputs: this.graphs.integers(outputs),
    };
    if (!number) return feeds;
    return {
      ...feeds,
      ...this.layers("current.channel_contexts.1", `${own}.channel_contexts.${number - 1}`),
      ...this.norm("inward", step.start, start, here),
    };
  }

  /** Return the qualities of all patches. */
  private everywhere(): Places {
    return { qualities: this.qualities.patches, shape: this.qualities.size ?? [1, 1] };
  }

  /** Return the qualities where a step codes; or one, if it codes nowhere. */
  private picked({ squares }: Step): Places {
    const { patches, size } = this.qualities;
    const where = size ? positions(...size, squares) : [0];
    const qualities = Uint8Array.from(where.length ? where : [0], (place) => patches[place]);
    return { qualities, shape: [qualities.length] };
  }

  /** Return the tensors of all layers of a module, by the names that graphs have for them. */
  private layers(prefix: string, module: string): Feeds {
    const found: Feeds = {};
    for (const name of this.modules.get(module)!) {
      const dot = name.lastIndexOf(".");
      const [layer, kind] = [name.slice(0, dot), name.slice(dot + 1)];
      const here = prefix + layer.slice(module.length);
      if (kind === "weight" || kind === "bias") found[`${here}.${kind}`] = this.filter(name, layer);
      else if (kind === "knots") Object.assign(found, this.gain(here, layer, this.everywhere()));
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

  /** Return factor and offset of some channels of a gain, of all by default, at some places. */
  private gain(prefix: string, layer: string, places: Places, channels?: number[]): Feeds {
    const stored = this.graphs.weights.context.get(`${layer}.knots`);
    const knots = integers(stored);
    const width = stored.shape[2];
    const chosen = channels ?? Array.from({ length: width }, (_, i) => i);
    const unit = KNOT_SPAN * KNOT_UNIT;
    const rows = (kind: number) => (quality: number) => {
      const low = Math.floor(quality / KNOT_SPAN);
      const part = quality % KNOT_SPAN;
      return chosen.map((channel) => {
        const at = (knot: number) => knots[(knot * 2 + kind) * width + channel];
        const sums = (KNOT_SPAN - part) * at(low) + (part ? part * at(low + 1) : 0);
        return Math.floor((sums + unit / 2) / unit);
      });
    };
    const [scales, shifts] = [rows(0), rows(1)];
    const shape = [1, chosen.length, ...places.shape];
    const factors = new Float32Array(chosen.length * places.qualities.length);
    const offsets = new Float32Array(factors.length);
    fillByQuality(factors, places, (quality) => scales(quality).map((scale) => scale / UNIT));
    fillByQuality(offsets, places, (quality) => shifts(quality).map((shift) => shift + 0.5));
    return {
      [`${prefix}.factor`]: this.graphs.floats(factors, shape),
      [`${prefix}.offset`]: this.graphs.floats(offsets, shape),
    };
  }

  /** Return the rows of the norm for some channels at some places. */
  private norm(way: "inward" | "outward", start: number, stop: number, places: Places): Feeds {
    const stored = this.graphs.weights.context.get(`context.norm.${way}_table`);
    const table = integers(stored);
    const unit = way === "inward" ? 2 ** -8 : 2 ** -12;
    const values = new Float64Array((stop - start) * places.qualities.length);
    fillByQuality(values, places, (quality) => {
      const begin = quality * stored.shape[1];
      return Array.from(table.subarray(begin + start, begin + stop), (value) => value * unit);
    });
    const shape = [1, stop - start, ...places.shape];
    return { [`norm.${way}_row`]: new this.graphs.ort.Tensor("float64", values, shape) };
  }
}

/** Qualities of some patches, and the shape in which they lie. */
interface Places {
  qualities: Uint8Array;
  shape: number[];
}

/** Write the row of its quality to each place; `found` is (channels, ...places). */
function fillByQuality(
  found: Float32Array | Float64Array,
  { qualities }: Places,
  row: (quality: number) => number[],
): void {
  const distinct = [...new Set(qualities)];
  const rows = distinct.map(row);
  const which = Uint8Array.from(qualities, (quality) => distinct.indexOf(quality));
  const values = new Float64Array(rows.length);
  const places = which.length;
  for (let channel = 0; channel * places < found.length; channel++) {
    rows.forEach((each, i) => (values[i] = each[channel]));
    const begin = channel * places;
    for (let place = 0; place < places; place++) found[begin + place] = values[which[place]];
  }
}
