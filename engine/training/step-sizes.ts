/** The sizes a training step is cut into: the same for what runs a step and for what estimates its memory. */
import type { Recipe } from '../recipe.ts';

/** Rows whose logits are alive at once: with a vocabulary of 50,000, 50 MB. */
export const usualHeadRows = 256;

/**
 * With so many tokens at once the matrix products are as fast as they get. More would only take memory, and time for attention between rows
 * that do not see each other.
 */
export const packCapacity = 256;

/** A block of so many queries keeps its scores in the processor's cache; more than 16 would be many small nodes. */
const queriesOfBlock = 128;
const mostBlocks = 16;

/** Tokens of the longest pack: a row that is longer is one by itself. */
export function longestPack(longestRow: number): number {
  return Math.max(packCapacity, longestRow);
}

/** Into how many blocks of queries attention is cut for rows of up to `longest` tokens. */
export function attentionBlocksFor(longest: number): number {
  return Math.min(mostBlocks, Math.max(1, Math.round(longest / queriesOfBlock)));
}

type BatchRecipe = Pick<Recipe, 'batchSize' | 'gradientAccumulation' | 'packing'>;

/** The largest micro-batch of a recipe on rows of up to `longest` tokens. */
export function largestBatch({ batchSize, gradientAccumulation, packing }: BatchRecipe, longest: number): BatchSize {
  return packing
    ? { batch: 1, time: Math.min(longestPack(longest), longest * batchSize * gradientAccumulation) }
    : { batch: batchSize, time: longest };
}

/** Rows of a micro-batch and tokens of each, padding included. */
export interface BatchSize {
  readonly batch: number;
  readonly time: number;
}

/** How a step is cut: blocks of queries in attention, and rows of logits that are alive at once. */
export interface StepCut {
  readonly attentionBlocks: number;
  readonly headRows: number;
}

/** The extents of a step's dimensions, by their names in its graph. */
export interface StepSizes {
  readonly batch: number;
  /** A multiple of the blocks of queries. */
  readonly time: number;
  readonly keys: number;
  readonly tokens: number;
  /** The output head takes `chunks` of `chunkRows` supervised tokens, one after the other; `rows` is what they hold together. */
  readonly chunks: number;
  readonly chunkRows: number;
  readonly rows: number;
}

/** The sizes of a step on a micro-batch with so many supervised tokens. */
export function stepSizes(
  { attentionBlocks, headRows }: StepCut,
  { batch, time: longest }: BatchSize,
  supervised: number,
): StepSizes {
  const time = Math.ceil(longest / attentionBlocks) * attentionBlocks;
  const chunks = Math.max(1, Math.ceil(supervised / headRows));
  const chunkRows = Math.ceil(supervised / chunks);
  return { batch, time, keys: time, tokens: batch * time, chunks, chunkRows, rows: chunks * chunkRows };
}
