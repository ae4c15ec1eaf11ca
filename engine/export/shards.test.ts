import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { readSafetensors } from '../formats/safetensors.ts';
import { openModel } from '../models/open.ts';
import { writeHubFolder } from './hub.ts';
import { planShards } from './shards.ts';
import { exportSource } from './source.ts';

const golden = join(import.meta.dirname, '../golden');
const work = mkdtempSync(join(tmpdir(), 'shards-'));
afterAll(() => rmSync(work, { recursive: true }));

it('a tensor is in one shard, and no shard is larger than allowed unless one tensor is', () => {
  const plan = [10, 20, 30, 100, 5].map((extent, i) => ({ name: `t${i}`, type: 'F16' as const, shape: [extent] }));
  const shards = planShards(plan, 100);
  expect(shards.map(({ plan: own }) => own.map(({ name }) => name))).toEqual([['t0', 't1'], ['t2'], ['t3'], ['t4']]);
  expect(shards[0]!.name).toBe('model-00001-of-00004.safetensors');
  expect(planShards(plan, 1e9).map(({ name }) => name)).toEqual(['model.safetensors']);
});

it.each(['llama-tied', 'gpt2', 'gemma2'])('%s in many files is the same model', async (name) => {
  const model = openModel(join(golden, name, 'model'));
  const folder = join(work, name);
  mkdirSync(folder);
  await writeHubFolder(folder, exportSource(model, [], null), 'F32', async () => {}, 20_000);
  const files = readdirSync(folder).filter((file) => file.endsWith('.safetensors'));
  expect(files.length).toBeGreaterThan(3);
  const index = JSON.parse(readFileSync(join(folder, 'model.safetensors.index.json'), 'utf8')) as {
    metadata: { total_size: number };
    weight_map: Record<string, string>;
  };
  const stored = files.flatMap((file) =>
    [...readSafetensors(join(folder, file)).tensors.values()].map((t) => ({ ...t, file })),
  );
  expect(index.metadata.total_size).toBe(stored.reduce((sum, { length }) => sum + length, 0));
  expect(index.weight_map).toEqual(Object.fromEntries(stored.map((tensor) => [tensor.name, tensor.file])));
  for (const file of files) expect(statSync(join(folder, file)).size).toBeLessThan(60_000);
  const back = openModel(folder);
  for (const tensor of model.weights.names) expect(back.weights.read(tensor), tensor).toEqual(model.weights.read(tensor));
});
