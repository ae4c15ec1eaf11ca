/** Defines what every export is made from. */
import type { ChatMessage, Lineage } from '../contract.ts';
import { Problem } from '../problem.ts';
import { type Day, today } from '../data/day.ts';
import type { Tokenizer } from '../data/tokenizer.ts';
import type { OpenModel } from '../models/open.ts';
import type { WeightedAdapter } from '../adapters/delta.ts';
import type { Importance } from './importance.ts';
import { mergeAdapters, type Merged } from './merge.ts';

export interface ExportSource extends Merged {
  /** Holds the model without its adapters. */
  readonly base: OpenModel;
  readonly adapters: readonly WeightedAdapter[];
  /** Holds the tokenizer, or null when the model has none. */
  readonly tokenizer: Tokenizer | null;
  /** Gives the date that chat templates print. */
  readonly day: Day;
  /** Lists some conversations of the run's own data, for what needs examples. */
  readonly conversations: readonly (readonly ChatMessage[])[];
  /** Says what the files record about their origin, or is null where they record nothing. */
  readonly lineage: Lineage | null;
  /** Holds the importance of the columns of matrices, for the types that use it. */
  readonly importance?: Importance;
}

export function exportSource(
  base: OpenModel,
  adapters: readonly WeightedAdapter[],
  tokenizer: Tokenizer | null,
  options: Partial<Pick<ExportSource, 'importance' | 'lineage' | 'conversations' | 'day'>> = {},
): ExportSource {
  const merged = mergeAdapters(base, adapters);
  return { ...merged, base, adapters, tokenizer, lineage: null, conversations: [], day: today(), ...options };
}

/**
 * Makes the Problem of a path that already exists. Without permission a result replaces nothing: `path` must not exist, or be
 * an empty folder.
 */
export function alreadyThere(path: string): Problem {
  return new Problem(
    'folder-not-empty',
    `'${path}' already exists.`,
    'Choose another place, or say that it may be replaced (--replace).',
  );
}
