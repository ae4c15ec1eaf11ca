import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { tensorView } from '../adapters/adapter.ts';
import { readAdapter } from '../adapters/folder.ts';
import { writeGguf } from '../export/gguf.ts';
import { exportSource } from '../export/source.ts';
import { openModel } from '../models/open.ts';
import { portUntil } from '../testing/port.ts';
import { runMatrix } from './matrix.ts';
import { adapterIn } from './run-folder.ts';
import { runTrain } from './train.ts';

const work = mkdtempSync(join(tmpdir(), 'matrix-'));
afterAll(() => rmSync(work, { recursive: true }));
const golden = (name: string): string => join(import.meta.dirname, '../golden', name);
const merged = (name: string, path: string, model = join(golden(name), 'model')) =>
  runMatrix({ kind: 'matrix', model: { path: model }, path, adapterPath: join(golden(name), 'adapter') });

it.each([
  ['lora-rslora', 'model.layers.1.self_attn.q_proj'],
  ['lora-head-embed', 'model.embed_tokens'],
  ['lora-head-embed', 'lm_head'],
])('after merging a matrix is W + s B A: %s, %s', (name, path) => {
  const { before, after, isSum, changed, rows, columns } = merged(name, path);
  const model = openModel(join(golden(name), 'model'));
  const { shape, parameters } = readAdapter(join(golden(name), 'adapter'), model);
  const module = shape.modules.find((one) => one.path === path)!;
  const { rank, scale, kind, inFeatures, outFeatures } = module;
  const [a, b] = [tensorView(parameters, module.a), tensorView(parameters, module.b)];
  const isEmbedding = kind === 'embedding';
  expect([rows, columns]).toEqual(isEmbedding ? [inFeatures, outFeatures] : [outFeatures, inFeatures]);
  const whole = model.weights.read(
    path === 'lm_head' && model.spec.tiedEmbeddings ? 'model.embed_tokens.weight' : `${path}.weight`,
  );
  let [squares, all] = [0, 0];
  for (let row = 0; row < rows; row++)
    for (let column = 0; column < columns; column++) {
      const [output, input] = isEmbedding ? [column, row] : [row, column];
      let change = 0;
      for (let k = 0; k < rank; k++) change += scale * b[output * rank + k]! * a[k * inFeatures + input]!;
      const own = whole[row * columns + column]!;
      squares += change ** 2;
      all += own ** 2;
      if (row >= 4 || column >= 3) continue;
      expect(before[row]![column]).toBe(own);
      expect(after[row]![column]).toBeCloseTo(own + change, 6);
    }
  expect([before.length, before[0]!.length]).toEqual([4, 3]);
  expect(isSum).toBe(true);
  expect(changed).toBeCloseTo(Math.sqrt(squares / all), 5);
});

it('DoRA, a matrix trained whole and one without an adapter are no sums with B A', () => {
  expect(merged('lora-dora', 'model.layers.0.self_attn.q_proj')).toMatchObject({ isSum: false });
  expect(merged('lora-saved-head', 'lm_head')).toMatchObject({ isSum: false });
  const { before, after, changed } = merged('lora-some-layers', 'model.layers.1.self_attn.q_proj');
  expect(after).toEqual(before);
  expect(changed).toBe(0);
  expect(() => merged('lora-rslora', 'model.layers.9.self_attn.q_proj')).toThrow(/no matrix 'model.layers.9/);
});

it('the same numbers come from a GGUF base', async () => {
  const gguf = join(work, 'base.gguf');
  const model = openModel(join(golden('lora-rslora'), 'model'));
  await writeGguf(gguf, exportSource(model, [], null), 'f32', async () => {});
  const path = 'model.layers.1.self_attn.q_proj';
  expect(merged('lora-rslora', path, gguf)).toEqual(merged('lora-rslora', path));
});

it('a model that was trained whole shows what its training changed', async () => {
  const out = join(work, 'full');
  const model = { path: join(golden('llama-tied'), 'model') };
  await runTrain(
    {
      ...{ kind: 'train', model, adapterPath: null, out, device: 'auto', skipBadRows: false, resume: false },
      data: { paths: [join(golden('llama-tied'), 'rows.jsonl')] },
      recipe: { method: 'full', maxSteps: 1, warmupSteps: 0, learningRate: 1e-3 },
      cacheDir: join(work, 'cache'),
    },
    portUntil(out, Infinity),
  );
  const path = 'model.layers.0.self_attn.v_proj';
  const { isSum, changed } = runMatrix({ kind: 'matrix', model, path, adapterPath: adapterIn(out) });
  expect(isSum).toBe(false);
  expect(changed).toBeGreaterThan(1e-4);
});
