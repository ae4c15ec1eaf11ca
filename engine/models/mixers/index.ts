/** Lists the kinds of mixer. A mixer lets the tokens of a row see each other. */
import { assert } from '../../problem.ts';
import type { PartKind } from '../parts.ts';
import { attention, type Attention } from './attention.ts';

export type Mixer = Attention;

const kinds: { readonly [Kind in Mixer['kind']]: PartKind<Extract<Mixer, { kind: Kind }>> } = { attention };

export function kindOfMixer<Part extends Mixer>({ kind }: Part): PartKind<Part> {
  return kinds[kind] as PartKind<Part>;
}

/** Returns the mixer of a block that has attention, as every block of most families does. */
export function attentionOf({ mixer }: { readonly mixer: Mixer }): Attention {
  assert(mixer.kind === 'attention', 'the block has no attention');
  return mixer;
}
