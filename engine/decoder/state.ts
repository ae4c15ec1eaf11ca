/**
 * Holds the state that blocks keep between the pieces of one row. Each block has arrays of its own, which may grow with the
 * row.
 */
import type { Dim } from '../graph/dim.ts';
import { Graph } from '../graph/graph.ts';
import type { Value } from '../graph/node.ts';
import { concat } from '../graph/ops/shape.ts';
import { kindOfFeedForward } from '../models/feed-forward/index.ts';
import type { StateArray } from '../models/parts.ts';
import type { DecoderSpec } from '../models/spec.ts';
import type { TensorValue } from '../runtime/session.ts';
import { builderOfMixer } from './mixers/index.ts';
import type { BlockState } from './options.ts';
import { float32 } from './sequence.ts';

/** Describes an array of one block, with its axes as generation keeps them. */
interface KeptArray extends StateArray {
  readonly layer: number;
  /** Gives the name of the graph input that reads it. */
  readonly past: string;
}

function keptArrays({ blocks }: DecoderSpec): KeptArray[] {
  return blocks.flatMap(({ mixer, feedForward }, layer) =>
    [...builderOfMixer(mixer).cached(mixer), ...kindOfFeedForward(feedForward).state(feedForward)].map((array) => ({
      ...array,
      layer,
      past: `past.${layer}.${array.name}`,
    })),
  );
}

/**
 * Groups the arrays that leave the graph as one output: those of one name and of equal shape but for the first axis, which
 * joins them.
 */
function outputsOf(arrays: readonly KeptArray[]): { readonly name: string; readonly arrays: readonly KeptArray[] }[] {
  const alike = Map.groupBy(arrays, ({ name, shape }) => [name, ...shape.slice(1)].join('.'));
  const names = new Set<string>();
  return [...alike].map(([key, joined]) => {
    const { name } = joined[0]!;
    const output = names.has(name) ? `new.${key}` : `new.${name}`;
    names.add(name);
    return { name: output, arrays: joined };
  });
}

/** Declares the state that each block of a graph continues from, when the block asks for it. */
export class StateInputs {
  readonly #g: Graph;
  readonly #arrays: readonly KeptArray[];
  readonly #next = new Map<string, Value>();

  constructor(g: Graph, spec: DecoderSpec) {
    this.#g = g;
    this.#arrays = keptArrays(spec);
  }

  of(layer: number): BlockState {
    const own = this.#arrays.filter((array) => array.layer === layer);
    const dims = ({ shape }: StateArray): Dim[] => shape.map((extent) => (extent === 'tokens' ? 'room' : extent));
    return {
      past: Object.fromEntries(own.map((array) => [array.name, this.#g.input(array.past, 'float32', dims(array))])),
      put: (name, value) => this.#next.set(`past.${layer}.${name}`, value),
    };
  }

  /** Declares the outputs of the graph for everything that blocks stored with `put`. */
  output(): void {
    for (const { name, arrays } of outputsOf(this.#arrays)) {
      const values = arrays.map(({ past }) => this.#next.get(past)!);
      this.#g.output(name, concat(this.#g, values, { axis: 0 }));
    }
  }
}

/** Returns whether blocks keep nothing but arrays that grow with the row, so that several rows can share them. */
export function growsByTokens(spec: DecoderSpec): boolean {
  return keptArrays(spec).every(({ shape }) => shape.includes('tokens'));
}

/** Arrays grow by this many tokens at once. */
const ROOM = 128;

/** Holds the state of one row between runs. The runtime reads the arrays in place, and each run adds its new tokens. */
export class RowState {
  #length = 0;
  /** Is never 0, because the runtime cannot multiply by an empty array. */
  #room = 1;
  readonly #spec: DecoderSpec;
  readonly #arrays: readonly KeptArray[];
  readonly #values = new Map<string, Float32Array>();

  constructor(spec: DecoderSpec) {
    this.#spec = spec;
    this.#arrays = keptArrays(spec);
    for (const { past, shape } of this.#arrays) this.#values.set(past, new Float32Array(sizeOf(shape, this.#room)));
  }

  /** Returns a row that goes on from here by itself. */
  copy(): RowState {
    const copy = new RowState(this.#spec);
    copy.#length = this.#length;
    copy.#room = this.#room;
    for (const [past, values] of this.#values) copy.#values.set(past, values.slice());
    return copy;
  }

  /** Returns the number of tokens in the row so far. */
  get length(): number {
    return this.#length;
  }
  /** Returns the number of tokens that growing arrays have room for. */
  get room(): number {
    return this.#room;
  }

  feeds(): Record<string, TensorValue> {
    return Object.fromEntries(
      this.#arrays.map(({ past, shape }) => {
        const dims = shape.map((extent) => (extent === 'tokens' ? this.#room : extent));
        return [past, float32(this.#values.get(past)!, dims)];
      }),
    );
  }

  /** Extends the row by `time` tokens with the results that the graph returned for them. */
  add(time: number, results: Readonly<Record<string, TensorValue>>): void {
    this.#reserve(this.#length + time);
    for (const { name, arrays } of outputsOf(this.#arrays)) {
      const data = results[name]!.data as Float32Array;
      let end = 0;
      for (const { past, shape } of arrays) {
        const given = data.subarray(end, (end += sizeOf(shape, time)));
        const values = this.#values.get(past)!;
        if (shape.includes('tokens')) this.#place(given, time, values, shape);
        else values.set(given);
      }
    }
    this.#length += time;
  }

  /** Writes new tokens where the used room of each line ends. */
  #place(tokens: Float32Array, time: number, values: Float32Array, shape: StateArray['shape']): void {
    const { lines, numbers } = linesOf(shape);
    const length = time * numbers;
    for (let line = 0; line < lines; line++) {
      const to = (line * this.#room + this.#length) * numbers;
      for (let i = 0; i < length; i++) values[to + i] = tokens[line * length + i]!;
    }
  }

  /** Makes room for `tokens`. Unused room is scored too, so little more is made than what is needed. */
  #reserve(tokens: number): void {
    if (tokens <= this.#room) return;
    const before = this.#room;
    this.#room = Math.ceil(tokens / ROOM) * ROOM;
    for (const { past, shape } of this.#arrays) {
      if (!shape.includes('tokens')) continue;
      const { lines, numbers } = linesOf(shape);
      const old = this.#values.get(past)!;
      const larger = new Float32Array(sizeOf(shape, this.#room));
      for (let line = 0; line < lines; line++) {
        const from = line * before * numbers;
        larger.set(old.subarray(from, from + this.#length * numbers), line * this.#room * numbers);
      }
      this.#values.set(past, larger);
    }
  }
}

function sizeOf(shape: StateArray['shape'], tokens: number): number {
  return shape.reduce<number>((product, extent) => product * (extent === 'tokens' ? tokens : extent), 1);
}

/** Sees a growing array as `lines`, in each of which tokens of `numbers` elements follow one another. */
function linesOf(shape: StateArray['shape']): { readonly lines: number; readonly numbers: number } {
  const axis = shape.indexOf('tokens');
  return { lines: sizeOf(shape.slice(0, axis), 1), numbers: sizeOf(shape.slice(axis + 1), 1) };
}
