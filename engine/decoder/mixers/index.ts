/** Lists the builders, one for each kind of mixer, and how generation keeps the state of each kind. */
import type { Mixer } from '../../models/mixers/index.ts';
import type { StateArray } from '../../models/parts.ts';
import type { PartBuilder } from '../part.ts';
import { buildAttention, cachedAttentionState } from './attention.ts';

interface MixerBuilder<Part> {
  readonly build: PartBuilder<Part>;
  /** Lists the arrays of its state (`kindOfMixer`), with their axes in the order in which its products read them. */
  cached(part: Part): readonly StateArray[];
}

const builders: { readonly [Kind in Mixer['kind']]: MixerBuilder<Extract<Mixer, { kind: Kind }>> } = {
  attention: { build: buildAttention, cached: cachedAttentionState },
};

export function builderOfMixer<Part extends Mixer>({ kind }: Part): MixerBuilder<Part> {
  return builders[kind] as MixerBuilder<Part>;
}
