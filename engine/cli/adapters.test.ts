/** `lowrank adapters` mixes and cuts adapters, keeps the results as versions, and lists, shows and tags them. */
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import type { AdapterVersion, Inspection, MixedVersion } from '../contract.ts';
import type { ProblemValue } from '../problem.ts';
import { commandFolder, keepEngine, startCommand } from '../testing/command-line.ts';

const golden = fileURLToPath(new URL('../golden/mix', import.meta.url));
const model = join(golden, 'model');
const [a, c] = ['a', 'c'].map((name) => join(golden, 'adapters', name)) as [string, string];

const { folder, dataDir } = commandFolder('mixes');
const client = keepEngine(dataDir);

async function adapters<T>(...args: string[]): Promise<T> {
  const { stdout, stderr } = await startCommand(dataDir, [...args, '--json']).ended;
  if (stdout === '') throw new Error(stderr);
  return JSON.parse(stdout) as T;
}

test('a mix is a version whose folder says what it is made of', async () => {
  const out = join(folder, 'mixed');
  const weights = ['--adapter', `${a}=0.7`, '--adapter', `${c}=-0.4`];
  const mixed = await adapters<MixedVersion>(
    ...['adapters', 'mix', '--model', model, ...weights, '--out', out],
    ...['--method', 'ties_svd', '--density', '0.5', '--rank', '5', '--majority-sign', 'frequency'],
  );
  const mix = { method: 'ties-svd', density: 0.5, rank: 5, majoritySign: 'frequency' };
  expect(mixed).toMatchObject({ path: out, rank: 5, mix, version: { name: 'mixed', rank: 5, modelPath: model } });
  expect(mixed.matrices).toHaveLength(6);
  expect(mixed.worst!.lost).toBe(Math.max(...mixed.matrices.map(({ lost }) => lost)));

  await adapters('adapters', 'tag', 'mixed', 'best');
  expect(await adapters<AdapterVersion[]>('adapters', 'list')).toMatchObject([{ name: 'mixed', tag: 'best', path: out }]);
  const shown = await adapters<AdapterVersion & { inspected: Inspection }>('adapters', 'show', 'mixed');
  const lines = shown.inspected.summary.map(({ label, value }) => `${label}: ${value}`);
  expect(lines).toContain('Adapter: a × 0.7 + c × -0.4');
  expect(lines).toContain('Mixed by: ties-svd, rank 5, density 0.5, majority sign frequency');
  expect(lines.filter((line) => /^Mixed from: [ac] .*SHA-256 [0-9a-f]{64}$/.test(line))).toHaveLength(2);
  expect(lines).toContain('Since it was written: unchanged');

  const again = await adapters<{ problem: ProblemValue }>(
    ...['adapters', 'mix', '--model', model, ...weights, '--method', 'cat', '--out', out],
  );
  expect(again.problem.code).toBe('folder-not-empty');
});

test('an adapter is cut whether or not its base is at hand', async () => {
  const cut = (name: string, ...more: string[]) =>
    adapters<MixedVersion>('adapters', 'truncate', '--adapter', c, '--rank', '2', '--out', join(folder, name), ...more);
  // Its config names the base 'model', which is nowhere.
  const alone = await cut('alone');
  expect(alone).toMatchObject({
    rank: 2,
    base: null,
    version: null,
    notes: [expect.stringContaining('nothing was held against')],
  });
  const held = await cut('held', '--model', model);
  expect(held).toMatchObject({ rank: 2, notes: [], version: { rank: 2 } });
  const losses = ({ matrices }: MixedVersion) => Object.fromEntries(matrices.map(({ path, lost }) => [path, lost.toFixed(9)]));
  expect(losses(held)).toEqual(losses(alone));
  const config = readFileSync(join(folder, 'alone', 'adapter_config.json'), 'utf8');
  expect(JSON.parse(config)).toMatchObject({ r: 2, lora_alpha: 2, base_model_name_or_path: 'model' });
});

test('the window mixes versions by their ids, into the data folder', async () => {
  const versions = await adapters<AdapterVersion[]>('adapters', 'list');
  const [one, other] = versions.map(({ id }) => id) as [string, string];
  const made = await client().request('adapters.mix', {
    ...{ model: { path: model }, mix: { method: 'cat' } },
    adapters: [{ id: one, weight: 0.5 }, { id: other }],
  });
  expect(made.version).toMatchObject({ name: 'mixed × 0.5 + held', rank: 7 });
  expect(made.path).toBe(join(folder, 'data', 'adapters', made.version!.id));
  expect(existsSync(join(made.path, 'lowrank.json'))).toBe(true);

  // Each mix names its parents, as versions of the project where they are some.
  const { projectId, id } = made.version!;
  const origins = await client().request('adapters.mixes', { projectId });
  expect(Object.keys(origins).toSorted()).toEqual([one, other, id].toSorted());
  expect(origins[id]).toEqual({
    mix: { method: 'cat' },
    parents: [
      { name: 'mixed', weight: 0.5, adapterId: one },
      { name: 'held', weight: 1, adapterId: other },
    ],
  });
  expect(origins[one]!.parents).toMatchObject([
    { name: 'a', weight: 0.7, adapterId: null },
    { name: 'c', weight: -0.4, adapterId: null },
  ]);
  // A folder that is gone, or says something else, has no parents, and the others keep theirs.
  writeFileSync(join(versions[1]!.path, 'lowrank.json'), '{"version": 1');
  rmSync(versions[0]!.path, { recursive: true });
  expect(Object.keys(await client().request('adapters.mixes', { projectId }))).toEqual([id]);
});
