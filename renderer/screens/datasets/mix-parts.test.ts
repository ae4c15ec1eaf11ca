import { expect, test } from 'vitest';
import type { Dataset, Mix } from '../../../engine/contract.ts';
import { outdatedParts, withPresent } from './mix-parts.ts';

const set = (name: string, sequence: number) =>
  ({ id: name, name, version: { id: `${name} ${sequence}`, sequence, mix: null } }) as unknown as Dataset;
const part = (dataset: string, sequence: number, repeat: number) => ({
  ...{ name: dataset, repeat, data: { paths: [`/${dataset}.jsonl`] } },
  version: { id: `${dataset} ${sequence}`, sequence, dataset },
});
const files = { name: 'files', repeat: 1, most: 10, data: { paths: ['/files.jsonl'] } };
const mix: Mix = { parts: [part('lamps', 1, 2), part('manners', 4, 0.5), part('removed', 1, 1), files], seed: 3 };
const sets = [set('lamps', 3), set('manners', 4)];

test('a part is outdated where its data set has another version, and never where there is no data set', () => {
  expect(outdatedParts(mix, sets).map(({ part, set }) => [part.name, set.version.sequence])).toEqual([['lamps', 3]]);
  expect(outdatedParts(mix, [])).toEqual([]);
});

test('one part is brought up to date: its amount, its name and all other parts stay', () => {
  expect(withPresent(mix, mix.parts[0]!, sets)).toEqual({
    parts: [
      { name: 'lamps', repeat: 2, data: { versionId: 'lamps 3' } },
      { name: 'manners', repeat: 0.5, data: { versionId: 'manners 4' } },
      { name: 'removed', repeat: 1, data: { paths: ['/removed.jsonl'] } },
      files,
    ],
    seed: 3,
  });
});
