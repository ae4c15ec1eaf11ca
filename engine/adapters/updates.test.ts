import { join } from 'node:path';
import { expect, test } from 'vitest';
import { openModel } from '../models/open.ts';
import { fillNormal } from '../random.ts';
import { noAdapterShape, tensorView } from './adapter.ts';
import { largestSingular, product, transpose, type LinearMap, type Matrix } from './decompose.ts';
import { readAdapter } from './folder.ts';
import { adapterUpdates, effectiveRank, singularValues } from './updates.ts';

const golden = (name: string): string => join(import.meta.dirname, '../golden', name);
function opened(name: string) {
  const model = openModel(join(golden(name), 'model'));
  const adapter = readAdapter(join(golden(name), 'adapter'), model);
  return { adapter, spec: model.spec, updates: adapterUpdates(adapter, model.spec) };
}

test.each(['lora-some-layers', 'lora-rslora', 'lora-patterns'])(
  'the updates are those of the products s B A, and layers without an adapter have none: %s',
  async (name) => {
    const { adapter, spec, updates } = opened(name);
    expect(updates.layers).toBe(spec.blocks.length);
    expect(updates.modules.some((module) => module.updates.includes(null))).toBe(name === 'lora-some-layers');
    for (const { path, rank, scale, inFeatures, outFeatures, a, b } of adapter.shape.modules) {
      const whole = product(
        { rows: outFeatures, columns: rank, values: Float64Array.from(tensorView(adapter.parameters, b), (x) => scale * x) },
        { rows: rank, columns: inFeatures, values: Float64Array.from(tensorView(adapter.parameters, a)) },
      );
      const layer = Number(/\.(\d+)\./.exec(path)![1]);
      const found = updates.modules.find((module) => module.path.replace('{layer}', String(layer)) === path)!;
      const update = found.updates[found.layers.indexOf(layer)]!;
      expect(update).toMatchObject({ rank, scale, inFeatures, outFeatures });
      expect(update.norm).toBeCloseTo(Math.sqrt(whole.values.reduce((sum, x) => sum + x * x, 0)), 6);
      const { values } = await largestSingular(mapOf(whole), rank, 1, { tolerance: 1e-13 });
      expect(update.singularValues).toHaveLength(rank);
      update.singularValues.forEach((value, i) => expect(value, path).toBeCloseTo(values[i] ?? 0, 6));
    }
  },
);

test('dependent factors and an update of nothing have zeros, and the effective rank counts directions', () => {
  const a = new Float32Array(3 * 20);
  fillNormal(a.subarray(0, 40), 1, 1, 'a');
  // The third row is the first.
  a.set(a.subarray(0, 20), 40);
  const b = new Float32Array(10 * 3);
  fillNormal(b, 1, 1, 'b');
  const values = singularValues(b, a, 3);
  expect(values[1]).toBeGreaterThan(1);
  expect(values[2]).toBeLessThan(1e-6);
  expect(singularValues(new Float32Array(30), a, 3)).toEqual(new Float64Array(3));

  expect(effectiveRank(Float64Array.of(0, 0))).toBe(0);
  expect(effectiveRank(Float64Array.of(2, 0, 0))).toBe(1);
  expect(effectiveRank(Float64Array.of(2, 2, 2, 2))).toBeCloseTo(4, 12);
  expect(effectiveRank(Float64Array.of(3, 1))).toBeCloseTo(Math.exp(0.75 * Math.log(4 / 3) + 0.25 * Math.log(4)), 12);
});

test('a model that was trained whole has no update', () => {
  const { adapter, spec } = opened('lora-rslora');
  expect(adapterUpdates({ ...adapter, shape: noAdapterShape }, spec).modules).toEqual([]);
});

function mapOf(w: Matrix): LinearMap {
  return {
    ...{ rows: w.rows, columns: w.columns },
    times: (x) => Promise.resolve(product(w, x)),
    transposedTimes: (y) => Promise.resolve(product(transpose(w), y)),
  };
}
