import { expect, test } from 'vitest';
import type { Run, StepMetrics } from '../../../engine/contract.ts';
import { defaultRecipe } from '../../../engine/recipe.ts';
import { type Brushes, type Dimension, dimensions, isWithin } from './coordinates.ts';
import { evaluationCurve, trainingCurve } from './curves.ts';
import { differences, shortNames } from './differences.ts';

const run = (recipe: Partial<Run['recipe']>): Run =>
  ({
    modelName: 'base',
    datasetName: 'rows',
    version: null,
    measures: {},
    recipe: { ...defaultRecipe(), ...recipe },
  }) as Run;

test('only fields that differ are shown, and the minority is marked', () => {
  const rows = differences([run({}), run({ rank: 8, alpha: 16 }), run({ learningRate: 1e-3 })]);
  expect(rows.map((row) => row.key)).toEqual(['rank', 'alpha', 'learningRate']);
  expect(rows[0]).toMatchObject({ values: ['16', '8', '16'], differs: [false, true, false] });
  expect(rows[2]!.values).toEqual(['2e-4', '2e-4', '0.001']);
});

test('two versions of one data set are other data', () => {
  const on = (version: number): Run => ({ ...run({}), version });
  expect(differences([on(1), on(2), on(1)])).toMatchObject([
    { key: 'data', values: ['rows, version 1', 'rows, version 2', 'rows, version 1'] },
  ]);
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

test('ranks and alphas by name are told apart, and so are values that would read the same', () => {
  const rows = differences([
    run({ rankPattern: { q_proj: 8 } }),
    run({}),
    run({ rankPattern: { q_proj: 4 }, learningRate: 2.00001e-4 }),
  ]);
  const values = Object.fromEntries(rows.map((row) => [row.key, row.values]));
  expect(values['rankPattern']).toEqual(['q_proj:8', 'none', 'q_proj:4']);
  expect(values['learningRate']).toEqual(['2e-4', '2e-4', '2.00001e-4']);
  expect(values['strength']).toEqual(['2, by module 2 to 4', '2', '2, by module 2 to 8']);
  expect(dimensions([run({ rankPattern: { q_proj: 8 } }), run({})])[0]).toMatchObject({ key: 'rankPattern' });
});

test('the scale of rsLoRA divides by the root of the rank', () => {
  const strength = differences([run({}), run({ rslora: true })]).find(({ key }) => key === 'strength');
  expect(strength!.values).toEqual(['2', '8']);
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

test('axes are what differs and what came out; a brush keeps the runs that go through it', () => {
  const runs = [
    {
      ...run({ rank: 2, schedule: 'linear' }),
      id: 'a',
      measures: { loss: { last: 3, best: 3, bestStep: 1 } },
      peakMemory: 2e8,
      seconds: 4,
    },
    { ...run({ rank: 16 }), id: 'b', measures: { loss: { last: 1, best: 1, bestStep: 1 } }, peakMemory: 2e8, seconds: 8 },
    { ...run({ rank: 64 }), id: 'c', measures: {}, peakMemory: 0, seconds: 0 },
  ];
  const all = dimensions(runs);
  expect(all.map(({ key }) => key)).toEqual(['rank', 'schedule', 'memory', 'time', 'loss']);
  const [rank, schedule, , time, loss] = all as [Dimension, Dimension, Dimension, Dimension, Dimension];
  // From 2 to 64 in even ratios: 16 is three fifths of the way.
  expect(runs.map(rank.at)).toEqual([0, expect.closeTo(0.6), 1]);
  expect(schedule.ticks.map(({ text }) => text).sort()).toEqual(['cosine', 'linear']);
  expect(runs.map(time.at)).toEqual([0, 1, null]);
  // The better loss is higher.
  expect(runs.map(loss.at)).toEqual([0, 1, null]);
  expect(runs.map(loss.text)).toEqual(['3.000', '1.000', '–']);

  const kept = (brushes: Brushes): string[] => runs.filter((one) => isWithin(one, all, brushes)).map(({ id }) => id);
  expect(kept({})).toEqual(['a', 'b', 'c']);
  expect(kept({ rank: [0.5, 1] })).toEqual(['b', 'c']);
  expect(kept({ rank: [0.5, 1], loss: [0.5, 1] })).toEqual(['b']);
});
