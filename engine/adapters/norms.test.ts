import { join } from 'node:path';
import { expect, test } from 'vitest';
import { openModel } from '../models/open.ts';
import { type Adapter, noAdapterShape, tensorView } from './adapter.ts';
import { readAdapter } from './folder.ts';
import { updateNorms } from './norms.ts';

const golden = join(import.meta.dirname, '../golden/lora-some-layers');

test('the norm of an update is that of its product, and layers without an adapter have none', () => {
  const model = openModel(join(golden, 'model'));
  const { spec } = model;
  const adapter = readAdapter(join(golden, 'adapter'), model);
  const { modules } = updateNorms(adapter, spec);
  const names = new Set(adapter.shape.modules.map(({ path }) => path.slice(path.lastIndexOf('.') + 1)));
  expect(new Set(modules.map(({ name }) => name))).toEqual(names);
  expect(modules.every(({ norms }) => norms.length === spec.blocks.length)).toBe(true);
  expect(modules.some(({ norms }) => norms.includes(null))).toBe(true);

  for (const { path, rank, scale, inFeatures, outFeatures, a, b } of adapter.shape.modules) {
    const [ofA, ofB] = [tensorView(adapter.parameters, a), tensorView(adapter.parameters, b)];
    let square = 0;
    for (let row = 0; row < outFeatures; row++)
      for (let column = 0; column < inFeatures; column++) {
        let sum = 0;
        for (let i = 0; i < rank; i++) sum += ofB[row * rank + i]! * ofA[i * inFeatures + column]!;
        square += (scale * sum) ** 2;
      }
    const layer = Number(/\.(\d+)\./.exec(path)![1]);
    const found = modules.find((module) => module.path.replace('{layer}', String(layer)) === path);
    expect(found?.norms[found.layers.indexOf(layer)], path).toBeCloseTo(Math.sqrt(square), 6);
  }
});

test.each([
  ['lora-rslora', (rank: number, alpha: number) => alpha / Math.sqrt(rank)],
  ['lora-some-layers', (rank: number, alpha: number) => alpha / rank],
])('the scale is that of the matrices: %s', (name, scale) => {
  const folder = join(import.meta.dirname, '../golden', name);
  const model = openModel(join(folder, 'model'));
  const adapter = readAdapter(join(folder, 'adapter'), model);
  const expected = expect.closeTo(scale(adapter.config.rank, adapter.config.alpha), 6) as number;
  expect(updateNorms(adapter, model.spec).scales).toEqual({ least: expected, most: expected });
});

test('scales of modules of other ranks lie apart, and a model trained whole has none', () => {
  const patterns = join(import.meta.dirname, '../golden/lora-patterns');
  const model = openModel(join(patterns, 'model'));
  const { least, most } = updateNorms(readAdapter(join(patterns, 'adapter'), model), model.spec).scales!;
  expect(most).toBeGreaterThan(least);
  const full = {
    shape: { ...noAdapterShape },
    config: {},
    parameters: new Float32Array(0),
    initial: null,
  } as unknown as Adapter;
  expect(updateNorms(full, model.spec).scales).toBeNull();
});
