import { expect, it } from 'vitest';
import type { RopeScaling } from '../models/spec.ts';
import { defaultRecipe } from '../recipe.ts';
import { examplesOf } from './examples.ts';
import { contextNotes, recipeNotes } from './notes.ts';

const notes = (changes: object, rows = 13): string => recipeNotes({ ...defaultRecipe(), ...changes }, rows).join(' ');

it('says that a run learns nothing', () => {
  expect(notes({ learningRate: 0 })).toContain('learning rate is 0');
  expect(notes({ maxSteps: 1 })).toMatch(/Nothing will be learned: the warm-up of 5 steps .* no second step/);
  expect(notes({ epochs: 1, batchSize: 16 })).toContain('Nothing will be learned');
  expect(notes({ maxSteps: 1, warmupSteps: 0 })).not.toContain('Nothing');
});

it('says that a warm-up does not end', () => {
  expect(notes({ maxSteps: 4, warmupSteps: 10, learningRate: 0.001 })).toMatch(/rises to 0.0003 and never reaches 0.001/);
  expect(notes({ maxSteps: 5, warmupSteps: 5 })).toContain('does not end within the run of 5');
  expect(notes({ maxSteps: 6, warmupSteps: 5 })).toBe('');
});

it('counts a warm-up that is a share of the run as the schedule does', () => {
  const single = notes({ maxSteps: 1, warmupSteps: 0, warmupRatio: 0.01 });
  expect(single).toMatch(/Nothing will be learned: the warm-up of 1 step .* Set warmupRatio and warmupSteps to 0/);
  expect(notes({ maxSteps: 2, warmupSteps: 0, warmupRatio: 1 })).toMatch(
    /warm-up of 2 steps does not end .* Lower warmupRatio/,
  );
  // The share wins over a number of steps that would not end.
  expect(notes({ maxSteps: 4, warmupSteps: 5, warmupRatio: 0.1 })).toBe('');
});

it('says when steps do not take as many rows as they seem to', () => {
  const long = { warmupSteps: 0, batchSize: 8, epochs: 1 };
  expect(notes(long)).toBe('The last step takes 5 rows, every other 8.');
  expect(notes({ ...long, epochs: 8 })).toBe('');
  expect(notes({ ...long, batchSize: 4, gradientAccumulation: 8 })).toMatch(/The one step takes 13 rows, .* let it take 32/);
  expect(notes({ ...long, maxSteps: 3, batchSize: 16 })).toContain('Every step takes 16 rows of 13: some more than once.');
});

it('says which rows are longer than a model was made for, with what its rotary embedding was stretched to', () => {
  const row = (length: number) => {
    const inputIds = new Int32Array(length);
    return { index: 0, file: 'rows.jsonl', line: 1, inputIds, labels: inputIds };
  };
  const rows = examplesOf([8, 65, 300].map(row));
  const shared = { theta: 10_000, dimension: 4, interleaved: false };
  const spec = { contextLength: 64, learnedPositions: null, ropes: [{ ...shared, scaling: { kind: 'none' } as const }] };
  expect(contextNotes(spec, rows)[0]).toMatch(/^2 rows of 3 are longer than the 64 tokens .* the longest 300/);
  const yarn: RopeScaling = {
    kind: 'yarn',
    factor: 4,
    betaFast: 32,
    betaSlow: 1,
    originalContextLength: 64,
    attentionFactor: 1,
    truncate: true,
  };
  expect(contextNotes({ ...spec, ropes: [{ ...shared, scaling: yarn }] }, rows)[0]).toMatch(
    /^1 row of 3 is longer than the 256/,
  );
  const llama3: RopeScaling = {
    kind: 'llama3',
    factor: 2,
    lowFrequencyFactor: 1,
    highFrequencyFactor: 4,
    originalContextLength: 64,
  };
  // The config may state the context with the scaling in it.
  const stretched = { ...spec, contextLength: 512, ropes: [{ ...shared, scaling: llama3 }] };
  expect(contextNotes(stretched, rows)).toEqual([]);
});
