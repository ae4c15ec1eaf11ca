/** Lists the builders, one for each kind of feed-forward. */
import type { FeedForward } from '../../models/feed-forward/index.ts';
import type { PartBuilder } from '../part.ts';
import { buildDense } from './dense.ts';

const builders: { readonly [Kind in FeedForward['kind']]: PartBuilder<Extract<FeedForward, { kind: Kind }>> } = {
  dense: buildDense,
};

export function builderOfFeedForward<Part extends FeedForward>({ kind }: Part): PartBuilder<Part> {
  return builders[kind] as PartBuilder<Part>;
}
