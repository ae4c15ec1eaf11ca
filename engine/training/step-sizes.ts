/** Decides the sizes into which a training step is cut, both for running it and for estimating its memory. */
import type { Recipe } from '../recipe.ts';

/** Gives the usual number of rows whose logits are in memory at once: 50 MB with a vocabulary of 50,000. */
export const usualHeadRows = 256;

/**
 * Gives the number of tokens in a pack. With this many tokens matrix products reach their full speed; more would only take
 * memory, and time for attention between rows that do not see each other.
 */
export const packCapacity = 256;

/**
 * A block of this many queries keeps its scores in the processor's cache. More than 16 blocks would be too many small nodes.
 */
const queriesOfBlock = 128;
const mostBlocks = 16;

/** Returns the number of tokens in the longest pack; a row above the capacity is a pack by itself. */
export function longestPack(longestRow: number): number {
  return Math.max(packCapacity, longestRow);
}

/** Returns the number of blocks of queries into which attention is cut for rows of up to `longest` tokens. */
export function attentionBlocksFor(longest: number): number {
  return Math.min(mostBlocks, Math.max(1, Math.round(longest / queriesOfBlock)));
}

type BatchRecipe = Pick<Recipe, 'batchSize' | 'gradientAccumulation' | 'packing'>;

/** Returns the size of a recipe's largest micro-batch on rows of up to `longest` tokens. */
export function largestBatch({ batchSize, gradientAccumulation, packing }: BatchRecipe, longest: number): BatchSize {
  return packing
    ? { batch: 1, time: Math.min(longestPack(longest), longest * batchSize * gradientAccumulation) }
    : { batch: batchSize, time: longest };
}

/** Holds the number of rows of a micro-batch and the number of tokens in each, padding included. */
export interface BatchSize {
  readonly batch: number;
  readonly time: number;
}

/** Says how a step is cut: into blocks of queries in attention, and into rows of logits that are in memory at once. */
export interface StepCut {
  readonly attentionBlocks: number;
  readonly headRows: number;
}

/** Holds the sizes of a step's dimensions, by their names in its graph. */
export interface StepSizes {
  readonly batch: number;
  /** Gives the tokens of a row, a multiple of the number of blocks of queries. */
  readonly time: number;
  readonly keys: number;
  readonly tokens: number;
  /**
   * Gives the number of chunks of `chunkRows` supervised tokens that the output head computes one after another; `rows` is
   * their product.
   */
  readonly chunks: number;
  readonly chunkRows: number;
  readonly rows: number;
}

/** Computes the sizes of a step on a micro-batch with `supervised` supervised tokens. */
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
