/**
 * Defines the inputs of a decoder besides its weights: tokens, their positions, and the mask of what each token may attend to.
 */
import { assert } from '../problem.ts';
import { HIDDEN_SCORE } from '../graph/dtype.ts';
import type { Dim } from '../graph/dim.ts';
import type { Graph } from '../graph/graph.ts';
import type { Value } from '../graph/node.ts';
import type { TensorValue } from '../runtime/session.ts';
import { ropeTables } from '../models/rope.ts';
import { partNeeds, type DecoderSpec } from '../models/spec.ts';

/** Holds the rotary tables cos and sin, each `[positions, dimension / 2]`. */
export interface Rotation {
  readonly cos: Value;
  readonly sin: Value;
}

/** Holds the inputs of a batch whose rows are laid end to end, so that tokens = batch * time. */
export interface Sequence {
  readonly batch: Dim;
  readonly time: Dim;
  readonly tokens: Dim;
  /** Gives the number of blocks of queries that attention computes one after the other; `time` is a multiple of it. */
  readonly queryBlocks: number;
  /** Holds the ids of the tokens, int64 `[tokens]`. */
  readonly inputIds: Value;
  /** Holds the position of the first token, int64 `[1]`. */
  readonly position: Value;
  /**
   * Holds the row of the learned position embedding for each token, int64 `[tokens]`, or null for a model without such an
   * embedding.
   */
  readonly positions: Value | null;
  /**
   * Holds the index at which the packed row of each token begins, int64 `[time]`, or null where no part of the model reads it.
   */
  readonly starts: Value | null;
  /** Holds the tables of each of the spec's ropes, in their order. */
  readonly rotations: readonly { readonly query: Rotation; readonly key: Rotation }[];
  /**
   * Holds the masks `[time, keys]` that are added to the scores: 0 where a token may look, hugely negative where it may not.
   */
  readonly masks: ReadonlyMap<BlockWindow, Value>;
}

type BlockWindow = number | null;

/** Declares the inputs of a graph over `time` tokens of every row. */
export function sequenceInputs(
  g: Graph,
  spec: DecoderSpec,
  { keys, ...dims }: Pick<Sequence, 'batch' | 'tokens' | 'queryBlocks'> & { readonly keys: Dim },
): Sequence {
  const rotation = (name: string, half: Dim): Rotation => ({
    cos: g.input(`${name}.cos`, 'float32', ['time', half]),
    sin: g.input(`${name}.sin`, 'float32', ['time', half]),
  });
  return {
    ...dims,
    time: 'time',
    inputIds: g.input('input_ids', 'int64', [dims.tokens]),
    position: g.input('position', 'int64', [1]),
    positions: spec.learnedPositions === null ? null : g.input('positions', 'int64', [dims.tokens]),
    starts: partNeeds(spec).has('starts') ? g.input('starts', 'int64', ['time']) : null,
    rotations: spec.ropes.map(({ dimension }, i) => {
      const key = rotation(`rope.${i}`, dimension / 2);
      return { key, query: spec.queryGrowth === null ? key : rotation(`rope.${i}.query`, dimension / 2) };
    }),
    masks: new Map(windows(spec).map((window) => [window, g.input(maskName(window), 'float32', ['time', keys])])),
  };
}

export interface Feed {
  readonly inputIds: Int32Array;
  /** Gives the number of tokens in every row. */
  readonly time: number;
  /** Gives the number of cached tokens before them. */
  readonly past: number;
  /** Gives the number of tokens that the cache has room for; `past` when left out. */
  readonly room?: number;
  /**
   * Gives the number of tokens in the whole row when these are a piece of it, or in the longest of the rows packed into one.
   */
  readonly length?: number;
  /**
   * Holds the index at which the packed row of each token begins, `[time]`. Positions count from there, and no token attends to
   * those before. It is left out when rows are not packed.
   */
  readonly starts?: Int32Array;
  /** Says which tokens are of which row where several rows share the cache. */
  readonly shared?: SharedCache;
}

/** Is the number of the row whose tokens all rows begin with. */
export const commonRow = -1;

/** Describes the tokens of several rows in one cache. A token attends to its own row and to what all rows begin with. */
export interface SharedCache {
  /** Gives the row of each token, those in the cache first. */
  readonly rows: readonly number[];
  /** Gives the position of each token in its row. */
  readonly places: readonly number[];
}

/** Returns the values to feed to the inputs that `sequenceInputs` declares, by name. */
export function sequenceFeeds(
  spec: DecoderSpec,
  { inputIds, time, past, room = past, length, starts, shared }: Feed,
): Record<string, TensorValue> {
  // Rows that share a cache have places of their own, which are counted from the least of these tokens.
  const own = shared?.places.slice(past);
  const first = own === undefined ? past : Math.min(...own);
  const placeInRow = (t: number): number => (own === undefined ? t - (starts?.[t] ?? 0) : own[t]! - first);
  const end = own === undefined ? past + time : Math.max(...own) + 1;
  const feeds: Record<string, TensorValue> = {
    input_ids: int64(inputIds, [inputIds.length]),
    position: int64([0], [1]),
    positions: int64(
      inputIds.map((_, token) => first + placeInRow(token % time)),
      [inputIds.length],
    ),
    starts: int64(starts ?? new Int32Array(time), [time]),
    'dim.batch': int64([inputIds.length / time], [1]),
    'dim.time': int64([time], [1]),
    'dim.tokens': int64([inputIds.length], [1]),
    'dim.room': int64([room], [1]),
  };
  spec.ropes.forEach((rope, i) => {
    const half = rope.dimension / 2;
    const { cos, sin } = ropeTables(rope, first, end, length);
    const put = (name: string, growth: (t: number) => number): void => {
      const placed = (table: Float32Array): Float32Array =>
        new Float32Array(time * half).map((_, j) => {
          const place = placeInRow(Math.floor(j / half));
          return table[place * half + (j % half)]! * growth(first + place);
        });
      feeds[`${name}.cos`] = float32(placed(cos), [time, half]);
      feeds[`${name}.sin`] = float32(placed(sin), [time, half]);
    };
    put(`rope.${i}`, () => 1);
    if (spec.queryGrowth !== null) {
      const { beta, originalContextLength } = spec.queryGrowth;
      put(`rope.${i}.query`, (position) => 1 + beta * Math.log1p(Math.floor(position / originalContextLength)));
    }
  });
  for (const window of windows(spec)) {
    const mask =
      shared === undefined ? causalMask(time, past, room, window, starts) : sharedMask(time, past, room, window, shared);
    feeds[maskName(window)] = float32(mask, [time, room + time]);
  }
  return feeds;
}

export function int64(values: ArrayLike<number>, dims: readonly number[]): TensorValue {
  return { type: 'int64', data: BigInt64Array.from({ length: values.length }, (_, i) => BigInt(values[i]!)), dims };
}

export function float32(data: Float32Array, dims: readonly number[]): TensorValue {
  return { type: 'float32', data, dims };
}

/** Picks the feeds that a graph asks for by `names`; a feed that is missing is an error of the program. */
export function only(names: readonly string[], feeds: Readonly<Record<string, TensorValue>>): Record<string, TensorValue> {
  return Object.fromEntries(
    names.map((name) => {
      const feed = feeds[name];
      assert(feed !== undefined, `nothing to feed ${name} with`);
      return [name, feed];
    }),
  );
}

function windows(spec: DecoderSpec): BlockWindow[] {
  return [...new Set(spec.blocks.flatMap(({ mixer }) => (mixer.kind === 'attention' ? mixer.window : [])))];
}

function maskName(window: BlockWindow): string {
  return window === null ? 'mask' : `mask.${window}`;
}

/**
 * Returns the mask `[time, room + time]`: a token sees what is cached, what came before it in its row, and itself, as far back
 * as its window reaches.
 */
function causalMask(time: number, past: number, room: number, window: BlockWindow, starts?: Int32Array): Float32Array {
  const keys = room + time;
  const mask = new Float32Array(time * keys);
  for (let t = 0; t < time; t++) {
    const row = mask.subarray(t * keys, (t + 1) * keys);
    const reach = window ?? Infinity;
    row.fill(HIDDEN_SCORE.float32, 0, Math.max(0, past + t + 1 - reach));
    row.fill(HIDDEN_SCORE.float32, past, room + Math.max(starts?.[t] ?? 0, t + 1 - reach));
    row.fill(HIDDEN_SCORE.float32, room + t + 1);
  }
  return mask;
}

/** Returns the same mask for tokens of several rows that share the cache. */
function sharedMask(
  time: number,
  past: number,
  room: number,
  window: BlockWindow,
  { rows, places }: SharedCache,
): Float32Array {
  const keys = room + time;
  const mask = new Float32Array(time * keys).fill(HIDDEN_SCORE.float32);
  for (let t = 0; t < time; t++) {
    const [row, place] = [rows[past + t]!, places[past + t]!];
    for (let key = 0; key < past + time; key++) {
      const [of, distance] = [rows[key]!, place - places[key]!];
      if ((of !== row && of !== commonRow) || distance < 0 || distance >= (window ?? Infinity)) continue;
      mask[t * keys + (key < past ? key : room + key - past)] = 0;
    }
  }
  return mask;
}
