import { join } from 'node:path';
import { expect, test } from 'vitest';
import { openModel } from '../models/open.ts';
import { tensorView } from './adapter.ts';
import { readAdapter } from './folder.ts';
import { updateNorms } from './norms.ts';

const golden = join(import.meta.dirname, '../golden/lora-some-layers');

test('the norm of an update is that of its product, and layers without an adapter have none', () => {
  const model = openModel(join(golden, 'model'));
  const { spec } = model;
  const adapter = readAdapter(join(golden, 'adapter'), model);
  const { modules } = updateNorms(adapter, spec.layers);
  const names = new Set(adapter.shape.modules.map(({ path }) => path.slice(path.lastIndexOf('.') + 1)));
  expect(new Set(modules.map(({ name }) => name))).toEqual(names);
  expect(modules.every(({ norms }) => norms.length === spec.layers)).toBe(true);
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
    expect(found?.norms[layer], path).toBeCloseTo(Math.sqrt(square), 6);
  }
});
