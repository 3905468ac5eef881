/** What the page and its worker tell each other. */

import type { Index } from "./bitstream/container.ts";
import type { Area, DecodeOptions, Outcome } from "./codec/options.ts";

export type Order =
  /** Folders that hold the runtime and the weights, with a slash behind them. */
  | { do: "start"; runtime: string; weights: string }
  | { do: "decode"; id: number; options: DecodeOptions }
  | { do: "bytes"; id: number; bytes: Uint8Array }
  | { do: "end"; id: number }
  /** Nobody waits for the picture any more. */
  | { do: "stop"; id: number };

export type Answer =
  | { id: number; is: "index"; index: Index }
  | { id: number; is: "area"; area: Area; ms: number }
  | { id: number; is: "done"; outcome: Outcome; ms: number }
  /** After a fatal one the worker gets no more work. */
  | { id: number; is: "error"; name: string; message: string; isFatal: boolean };
