import { expect, it } from 'vitest';
import type { AdapterUpdates, MatrixUpdate, Run, TargetInfo, TargetPlan } from '../../../engine/contract.ts';
import { defaultRecipe, type Recipe } from '../../../engine/recipe.ts';
import { cellText, cornerDecimals } from './corner.ts';
import { kindsOf, matrixAt, plannedMatrices, trainedMatrices, whichMatrices } from './matrices.ts';
import { measured, ratioText } from './measured.ts';
import { findPair, pairRecipes } from './pairs.ts';
import { heldBy, rankAdvice, worstHeld } from './spectrum.ts';

const update = (...singularValues: number[]): MatrixUpdate => ({
  ...{ outFeatures: 8, inFeatures: 6, rank: singularValues.length, scale: 2, norm: 1, singularValues },
  effectiveRank: singularValues.filter((value) => value > 0).length,
});
const updates: AdapterUpdates = {
  layers: 3,
  modules: [
    { name: 'q_proj', path: 'm.{layer}.q_proj', layers: [0, 1, 2], updates: [null, update(3, 1), update(2, 2)] },
    { name: 'embed', path: 'embed', layers: [], updates: [update(1)] },
  ],
};
const target = (path: string, layers: number[], ranks: number[], part: TargetInfo['part'] = 'mixer'): TargetInfo => ({
  ...{ path, layers, ranks, part, target: path, last: false, outFeatures: 8, inFeatures: 6 },
  scales: ranks.map((rank) => (rank === 0 ? 0 : 32 / rank)),
});
const plan = (...modules: TargetInfo[]): TargetPlan => ({
  ...{ modules, blocks: [], tiedHead: false, rankMatches: {}, alphaMatches: {} },
});

it('the matrices of an adapter are those with A and B, one for each layer', () => {
  const matrices = trainedMatrices(updates);
  expect(matrices.map(({ path, layer, rank }) => [path, layer, rank])).toEqual([
    ['m.1.q_proj', 1, 2],
    ['m.2.q_proj', 2, 2],
    ['embed', null, 1],
  ]);
  expect(kindsOf(matrices)).toEqual([
    { value: 'm.{layer}.q_proj', label: 'q' },
    { value: 'embed', label: 'embed' },
  ]);
  expect(matrixAt(matrices, 'm.{layer}.q_proj', 1)?.path).toBe('m.1.q_proj');
  expect(matrixAt(matrices, 'm.{layer}.q_proj', 0)?.path).toBe('m.2.q_proj');
  expect(matrixAt(matrices, 'gone', 1)?.path).toBe('m.1.q_proj');
  expect(matrixAt([], 'gone', 1)).toBeNull();
  expect(whichMatrices(matrices, 3)).toBe('q in layers 1–2, and embed');
  expect(whichMatrices(matrices, 2)).toBe('q in both layers, and embed');
});

it('the matrices of a recipe have their planned ranks, and with full training there are no adapters', () => {
  const given = plan(
    target('h.{layer}.attn.c_proj', [0, 1], [4, 0]),
    target('h.{layer}.mlp.c_proj', [0, 1], [8, 8]),
    target('head', [], [0], 'head'),
  );
  const matrices = plannedMatrices(given, false);
  expect(matrices.map(({ path, rank, scale }) => [path, rank, scale])).toEqual([
    ['h.0.attn.c_proj', 4, 8],
    ['h.0.mlp.c_proj', 8, 4],
    ['h.1.mlp.c_proj', 8, 4],
  ]);
  expect(kindsOf(matrices).map(({ label }) => label)).toEqual(['attn.c_proj', 'mlp.c_proj']);
  expect(plannedMatrices(given, true).map(({ path, rank }) => [path, rank])).toEqual([
    ['h.0.attn.c_proj', 0],
    ['h.1.attn.c_proj', 0],
    ['h.0.mlp.c_proj', 0],
    ['h.1.mlp.c_proj', 0],
  ]);
});

it('shares are those of the squares, and the worst matrix is named', () => {
  expect(heldBy([3, 1], 1)).toBeCloseTo(0.9, 12);
  expect(heldBy([0, 0], 1)).toBe(1);
  const worst = worstHeld(trainedMatrices(updates), 1)!;
  expect([worst.matrix.path, worst.share]).toEqual(['m.2.q_proj', 0.5]);
  expect(worstHeld([], 1)).toBeNull();
  expect(rankAdvice({ ...update(3, 1, 0, 0), effectiveRank: 1.8 })).toContain('Half the rank would do');
  expect(rankAdvice({ ...update(2, 2, 2, 2), effectiveRank: 4 })).toContain('a higher one is worth a run');
  expect(rankAdvice({ ...update(4, 3, 2, 2), effectiveRank: 3.4 })).toContain('would lose part');
  expect(rankAdvice(update(0, 0))).toContain('nothing was learned');
});

function run(id: string, recipe: Partial<Recipe>, more: Partial<Run> = {}): Run {
  const of = { id, modelPath: '/model', versionId: 'rows', recipe: { ...defaultRecipe(), ...recipe }, ...more };
  return of as Run;
}

it('a pair has all in common but the method and the learning rate', () => {
  const { lora, full } = pairRecipes({ rank: 4, baseQuantization: '4bit', initialization: 'loftq', learningRate: 5e-4 }, 12);
  expect(lora).toMatchObject({
    method: 'lora',
    rank: 4,
    learningRate: 5e-4,
    maxSteps: 12,
    warmupSteps: 3,
    baseQuantization: 'none',
  });
  expect(full).toEqual({ ...lora, method: 'full', learningRate: 2e-5 });
  expect(pairRecipes(full, 12)).toEqual({ lora: { ...lora, learningRate: defaultRecipe().learningRate }, full });

  const runs = [run('full', full), run('other', { ...lora, seed: 9 }), run('lora', lora)];
  expect(findPair(runs, '/model', null)).toMatchObject({ lora: { id: 'lora' }, full: { id: 'full' } });
  expect(findPair(runs, '/elsewhere', null)).toBeNull();
  expect(findPair([run('full', full, { versionId: 'others' }), run('lora', lora)], '/model', null)).toBeNull();
  expect(findPair([run('full', full, { versionId: null }), run('lora', lora, { versionId: null })], '/model', null)).toBeNull();
  const older = [run('full 2', { ...full, seed: 5 }), run('lora 2', { ...lora, seed: 5 }), ...runs];
  expect(findPair(older, '/model', null)?.lora.id).toBe('lora 2');
  expect(findPair(older, '/model', 'lora')?.lora.id).toBe('lora');
});

it('elements have the decimals that the largest change needs', () => {
  expect([0, 3, 0.02, 0.0011, 0.00014, 1e-12].map(cornerDecimals)).toEqual([4, 4, 4, 4, 5, 7]);
  expect([-0.10836, -0.00001, 0, 2].map((value) => cellText(value, 4))).toEqual(['−0.1084', '0.0000', '0.0000', '2.0000']);
});

it('what a run has not measured yet is not known', () => {
  const queued = run('queued', {}, { trainableParameters: 0, peakMemory: 0, seconds: 0, measures: {}, lastLoss: null });
  expect(measured(queued, null)).toEqual({ trained: null, memory: null, seconds: null, bytes: null, loss: null });
  const evaluated = { ...queued, lastLoss: 2, measures: { loss: { last: 3, best: 2.5, bestStep: 1 } } };
  expect(measured(evaluated, { bytes: 9 })).toMatchObject({ bytes: 9, loss: 3 });
  expect(measured({ ...queued, lastLoss: 2 }, null).loss).toBe(2);
  expect([1 / 28, 0.4, 0.66, 0.92, 1.04, 25].map((ratio) => ratioText(ratio, 1))).toEqual([
    '1/28',
    '1/2.5',
    '1/1.5',
    '92\u00a0%',
    '104\u00a0%',
    '25 ×',
  ]);
});
