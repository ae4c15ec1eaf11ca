/** Lists the kinds of feed-forward, through which each token passes by itself. */
import type { PartKind } from '../parts.ts';
import { dense, type Dense } from './dense.ts';

export type FeedForward = Dense;

const kinds: { readonly [Kind in FeedForward['kind']]: PartKind<Extract<FeedForward, { kind: Kind }>> } = { dense };

export function kindOfFeedForward<Part extends FeedForward>({ kind }: Part): PartKind<Part> {
  return kinds[kind] as PartKind<Part>;
}
