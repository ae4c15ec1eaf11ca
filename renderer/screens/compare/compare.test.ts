import { expect, test } from 'vitest';
import type { Run, StepMetrics } from '../../../engine/contract.ts';
import { defaultRecipe } from '../../../engine/recipe.ts';
import { evaluationCurve, trainingCurve } from './curves.ts';
import { differences, shortNames, valueText } from './differences.ts';

const run = (recipe: Partial<Run['recipe']>): Run =>
  ({ modelName: 'base', datasetName: 'rows', recipe: { ...defaultRecipe(), ...recipe } }) as Run;

test('only fields that differ are shown, and the minority is marked', () => {
  const rows = differences([run({}), run({ rank: 8, alpha: 16 }), run({ learningRate: 1e-3 })]);
  expect(rows.map((row) => row.key)).toEqual(['rank', 'alpha', 'learningRate']);
  expect(rows[0]).toMatchObject({ values: ['16', '8', '16'], differs: [false, true, false] });
  expect(rows[2]!.values).toEqual(['2e-4', '2e-4', '1e-3']);
});

test('a rank changed without its alpha shows the other strength', () => {
  expect(differences([run({}), run({ rank: 64 })]).map((row) => row.key)).toEqual(['rank', 'strength']);
});

test('names lose what they share, but never all of themselves', () => {
  expect(shortNames(['json-r16-all', 'json-r8-all'])).toEqual(['r16-all', 'r8-all']);
  expect(shortNames(['orders-1', 'orders-12'])).toEqual(['1', '12']);
  expect(shortNames(['tone', 'tonal'])).toEqual(['tone', 'tonal']);
  expect(shortNames(['a-', 'a-b'])).toEqual(['a-', 'a-b']);
  expect(shortNames(['json-r16'])).toEqual(['json-r16']);
});

test('values read as people write them', () => {
  expect([valueText(1e-8), valueText(0.9), valueText(0), valueText(['q_proj', 'v_proj']), valueText(true)]).toEqual([
    '1e-8',
    '0.9',
    '0',
    'q_proj, v_proj',
    'on',
  ]);
});

test('tokens and seconds add up, and an evaluation stands where its step ended', () => {
  const steps = [1, 2, 3].map((step) => ({
    step,
    loss: 4 - step,
    supervisedTokens: 10 * step,
    seconds: 2,
    epoch: step / 3,
  })) as StepMetrics[];
  expect(trainingCurve(steps, 'tokens')).toEqual([
    [10, 3],
    [30, 2],
    [60, 1],
  ]);
  expect(
    evaluationCurve(
      steps,
      [
        { step: 0, evalLoss: 5 },
        { step: 2, evalLoss: 2.5 },
      ],
      'time',
    ),
  ).toEqual([
    [0, 5],
    [4, 2.5],
  ]);
});
