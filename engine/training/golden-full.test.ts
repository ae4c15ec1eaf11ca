/** Training of every weight against torch: the same loop with another list of trained tensors. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import type { JobSpec } from '../contract.ts';
import { readSafetensors, readSafetensorsFloat32 } from '../formats/safetensors.ts';
import { runExport } from '../jobs/export.ts';
import { runTrain } from '../jobs/train.ts';
import { openModel } from '../models/open.ts';
import { toProblemValue } from '../problem.ts';
import { portUntil, silentPort } from '../testing/port.ts';
import { stepsOf } from '../testing/run-events.ts';

const golden = join(import.meta.dirname, '../golden');
const work = mkdtempSync(join(tmpdir(), 'golden-full-'));
const cacheDir = join(work, 'cache');
afterAll(() => rmSync(work, { recursive: true }));

it.each(['full-tied', 'full-gpt2'])('%s', async (name) => {
  const folder = join(golden, name);
  const modelPath = join(folder, 'model');
  const json = (file: string) => JSON.parse(readFileSync(join(folder, file), 'utf8')) as Record<string, unknown>;
  const spec = (out: string): Extract<JobSpec, { kind: 'train' }> => ({
    ...{ kind: 'train', model: { path: modelPath }, data: { paths: [join(folder, 'rows.jsonl')] }, adapterPath: null },
    ...{ recipe: json('recipe.json'), out: join(work, out), device: 'auto', skipBadRows: false, resume: false, cacheDir },
  });
  const { adapterPath } = await runTrain(spec(name), silentPort);
  const expected = json('expected.json') as Record<'step_losses' | 'gradient_norms', number[]>;
  stepsOf(join(work, name)).forEach((row, i) => {
    expect(Math.abs(row.loss - expected.step_losses[i]!), `loss of step ${i + 1}`).toBeLessThan(1e-4);
    expect(Math.abs(row.gradientNorm / expected.gradient_norms[i]! - 1), `norm of step ${i + 1}`).toBeLessThan(1e-3);
  });

  // The checkpoint merged is a hub folder with the reference's weights.
  const out = join(work, `${name}-merged`);
  const merge = { kind: 'export', format: 'safetensors', quantization: 'f32', proof: false } as const;
  const adapters = [{ path: adapterPath, weight: 1 }];
  await runExport({ ...merge, model: { path: modelPath }, adapters, out, cacheDir }, silentPort);
  const [before, after] = [openModel(modelPath), openModel(out)];
  expect(after.spec.tiedEmbeddings).toBe(before.spec.tiedEmbeddings);
  const path = join(folder, 'expected.safetensors');
  const { tensors } = readSafetensors(path);
  const stored = readSafetensors(join(out, 'model.safetensors'));
  const distance = { moved: 0, apart: 0 };
  for (const [key, tensor] of tensors) {
    const should = readSafetensorsFloat32(path, tensor);
    const is = readSafetensorsFloat32(stored.path, stored.tensors.get(key.replace('trained.', ''))!);
    const was = readSafetensorsFloat32(
      join(modelPath, 'model.safetensors'),
      readSafetensors(join(modelPath, 'model.safetensors')).tensors.get(key.replace('trained.', ''))!,
    );
    should.forEach((value, i) => {
      // The same added to all keys of a query changes no weight: the gradient of GPT-2's bias of keys is rounding alone, and Adam makes steps of it.
      if (key.endsWith('attn.c_attn.bias') && Math.floor((3 * i) / should.length) === 1) return;
      distance.apart += (value - is[i]!) ** 2;
      distance.moved += (value - was[i]!) ** 2;
    });
  }
  expect(Math.sqrt(distance.apart / distance.moved)).toBeLessThan(2e-5);

  const parts = spec(`${name}-parts`);
  expect(await runTrain(parts, portUntil(parts.out, 1)).catch(toProblemValue)).toMatchObject({ code: 'stopped' });
  const resumed = await runTrain({ ...parts, resume: true }, silentPort);
  const bytes = (dir: string) => readFileSync(join(dir, 'adapter_model.safetensors'));
  expect(bytes(resumed.adapterPath).equals(bytes(adapterPath))).toBe(true);
});
