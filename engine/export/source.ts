/** What every export is made from. */
import type { Lineage } from '../contract.ts';
import { Problem } from '../problem.ts';
import type { Tokenizer } from '../data/tokenizer.ts';
import type { OpenModel } from '../models/open.ts';
import type { WeightedAdapter } from '../training/lora/delta.ts';
import type { Importance } from './importance.ts';
import { mergeAdapters, type Merged } from './merge.ts';

export interface ExportSource extends Merged {
  /** The model without its adapters. */
  readonly base: OpenModel;
  readonly adapters: readonly WeightedAdapter[];
  /** Null when the model has none. */
  readonly tokenizer: Tokenizer | null;
  /** What the files say of where they came from; null: nothing. */
  readonly lineage: Lineage | null;
  /** Of the columns of matrices, for types that can make use of it. */
  readonly importance?: Importance;
}

export function exportSource(
  base: OpenModel,
  adapters: readonly WeightedAdapter[],
  tokenizer: Tokenizer | null,
  { importance, lineage = null }: { readonly importance?: Importance; readonly lineage?: Lineage | null } = {},
): ExportSource {
  return { ...mergeAdapters(base, adapters), base, adapters, tokenizer, lineage, ...(importance && { importance }) };
}

/** Called before each of `total` tensors: reports progress, and throws when the work shall stop. */
export type Step = (done: number, total: number) => Promise<void>;

/** A result must never replace something: `path` may not exist, or be an empty folder. */
export function alreadyThere(path: string): Problem {
  return new Problem('folder-not-empty', `'${path}' already exists.`, 'Choose another place, or remove it first.');
}
