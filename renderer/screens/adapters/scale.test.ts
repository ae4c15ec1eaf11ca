import { expect, it } from 'vitest';
import type { AdapterUpdates } from '../../../engine/contract.ts';
import { scaleText } from './scale.ts';

const withScales = (...scales: (number | null)[]): Pick<AdapterUpdates, 'modules'> => ({
  modules: scales.map((scale) => ({
    ...{ name: 'q_proj', path: 'model.layers.{layer}.self_attn.q_proj', layers: [0, 1] },
    updates: [
      null,
      scale === null
        ? null
        : { ...{ outFeatures: 8, inFeatures: 8, rank: 1, scale, norm: 0 }, singularValues: [0], effectiveRank: 0 },
    ],
  })),
});

it('is one factor, or says how far those of the modules lie apart', () => {
  expect(scaleText(withScales(2, 2))).toBe('2');
  expect(scaleText(withScales(2, null, 4))).toBe('2 to 4 by module');
});

it('is none where an adapter has no matrices B and A', () => {
  expect(scaleText(withScales())).toBeNull();
});
