import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Run } from '../contract.ts';
import { connectHost, type HostClient } from '../rpc.ts';

const golden = (name: string) => fileURLToPath(new URL(`../golden/llama-tied/${name}`, import.meta.url));
const limit = 300_000;
let folder: string;
let client: HostClient;
let projectId: string;
let modelId: string;
let versionId: string;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'lowrank-host-'));
  client = await connectHost(join(folder, 'data'));
  projectId = (await client.request('projects.create', { name: 'Tests' })).id;
  modelId = (await client.request('models.add', { projectId, path: golden('model') })).id;
  const data = { paths: [golden('rows.jsonl')] };
  versionId = (await client.request('datasets.add', { projectId, data })).version.id;
}, limit);
afterAll(() => {
  client.close();
  rmSync(folder, { recursive: true, force: true, maxRetries: 20, retryDelay: 300 });
}, limit);

/** Resolves once the run is in one of these states. */
function reaches(id: string, ...states: Run['state'][]): Promise<Run> {
  return new Promise((done) => {
    const look = (run: Run) => {
      if (run.id === id && states.includes(run.state)) done(run);
    };
    client.on('run.changed', look);
    void client.request('runs.get', { id }).then(look);
  });
}
const start = (recipe: Record<string, unknown>) =>
  client.request('runs.start', { projectId, model: { id: modelId }, data: { versionId }, recipe });

test('a new project offers the embedded model', async () => {
  const models = await client.request('models.list', { projectId });
  expect(models.map(({ embedded }) => embedded).sort()).toEqual([false, true]);
});

test('a model is the same one by whichever of its files it was chosen', { timeout: limit }, async () => {
  for (const chosen of [
    `${golden('model')}/`,
    join(golden('model'), 'config.json'),
    join(golden('model'), 'model.safetensors'),
  ])
    expect((await client.request('models.add', { projectId, path: chosen })).id).toBe(modelId);
});

test('what nobody waits for any more ends, and nothing is kept of it', { timeout: limit }, async () => {
  const path = join(folder, 'many.jsonl');
  writeFileSync(path, '{"text":"one of very many rows"}\n'.repeat(1_500_000));
  const cancel = new AbortController();
  const end = client.on('job.progress', ({ kind }) => kind === 'scan' && cancel.abort());
  const adding = client.request('datasets.add', { projectId, data: { paths: [path] } }, cancel.signal);
  await expect(adding).rejects.toMatchObject({ code: 'stopped' });
  end();
  expect((await client.request('datasets.list', { projectId })).map(({ version }) => version.id)).toEqual([versionId]);
  // What has been cancelled before it was asked is not asked.
  await expect(client.request('projects.list', undefined, cancel.signal)).rejects.toMatchObject({ code: 'stopped' });
});

test('a plan counts what the run then trains', { timeout: limit }, async () => {
  const recipe = { rank: 4, layers: [1], targetModules: ['q_proj', 'down_proj'], epochs: 1.5 };
  const plan = await client.request('runs.plan', { model: { id: modelId }, data: { versionId }, recipe });
  expect(plan.time).toBeNull();
  const run = await reaches((await start(recipe)).id, 'done');
  expect(plan).toMatchObject({ trainableParameters: run.trainableParameters, totalSteps: run.totalSteps, matrices: 2 });
  expect(plan.memory.adapter).toBeGreaterThan(0);

  // Once a run was measured, that is what the same would take again; of another only what the programs take is known from it.
  expect(plan.memoryMeasured).toBeNull();
  const again = await client.request('runs.plan', { model: { id: modelId }, data: { versionId }, recipe });
  expect(again.memoryMeasured).toEqual({ bytes: run.peakMemory, measuredBy: run.name });
  const sum = (memory: typeof plan.memory) => Object.values(memory).reduce((total, part) => total + part, 0);
  expect(sum(again.memory)).toBe(run.peakMemory);
  const other = await client.request('runs.plan', {
    model: { id: modelId },
    data: { versionId },
    recipe: { ...recipe, rank: 64 },
  });
  expect(other.memoryMeasured).toBeNull();
  expect(other.memory.runtime).toBe(again.memory.runtime);

  // Its rate says how long the same would take again.
  const { time } = await client.request('runs.plan', {
    model: { id: modelId },
    data: { versionId },
    recipe: { ...recipe, epochs: 300 },
  });
  const { steps } = await client.request('runs.metrics', { id: run.id, afterStep: 1 });
  const perStep = steps.reduce((sum, { seconds }) => sum + seconds, 0) / steps.length;
  expect(time!.measuredBy).toBe(run.name);
  expect(time!.seconds / (perStep * 200 * run.totalSteps)).toBeCloseTo(1, 0);
});

test(
  'runs wait for each other; a stopped one resumes; the adapter and its export are recorded',
  { timeout: limit },
  async () => {
    const first = await start({ maxSteps: 100_000, batchSize: 1, evalEvery: 0 });
    const second = await start({ maxSteps: 2, rank: 2, alpha: 4 });
    await reaches(first.id, 'running');
    expect((await client.request('runs.get', { id: second.id })).state).toBe('queued');
    while ((await client.request('runs.metrics', { id: first.id, afterStep: 0 })).steps.length < 3)
      await new Promise((done) => setTimeout(done, 50));
    await client.request('runs.stop', { id: first.id });
    const stopped = await reaches(first.id, 'stopped');
    expect((await client.request('runs.checkpoints', { id: first.id })).at(-1)!.step).toBe(stopped.step);
    await reaches(second.id, 'done');

    await client.request('runs.resume', { id: first.id });
    while ((await client.request('runs.get', { id: first.id })).step <= stopped.step)
      await new Promise((done) => setTimeout(done, 50));
    await client.request('runs.stop', { id: first.id, force: true });
    await reaches(first.id, 'stopped', 'interrupted');
    const { steps } = await client.request('runs.metrics', { id: first.id, afterStep: 0 });
    expect(steps.map(({ step }) => step)).toEqual(steps.map((_, i) => i + 1));

    const adapters = await client.request('adapters.list', { projectId });
    const adapter = adapters.find(({ runId }) => runId === second.id)!;
    expect(adapter).toMatchObject({ rank: 2, alpha: 4, modelId, step: 2 });
    const choices = await client.request('exports.choices', { adapterId: adapter.id });
    expect(choices.map(({ format }) => format)).toContain('gguf');
    const record = await client.request('exports.start', {
      model: { id: modelId },
      adapters: [{ id: adapter.id }],
      format: 'gguf',
      quantization: 'f32',
      out: join(folder, 'merged.gguf'),
      proof: true,
    });
    expect(record).toMatchObject({ state: 'done', proof: { passed: true } });
    expect(existsSync(record.path)).toBe(true);
    // Notes are said once and not kept.
    const { notes, ...kept } = record;
    expect(notes).toEqual([expect.stringContaining('has no tokenizer') as string]);
    expect(await client.request('exports.list', { projectId })).toEqual([kept]);
  },
);

test('what a client may not change is refused, and nothing of it is written', { timeout: limit }, async () => {
  const run = await reaches((await start({ maxSteps: 1 })).id, 'done');
  const update = (change: object) => client.request('runs.update', { id: run.id, ...change });
  await expect(update({ name: 'Other', state: 'running' })).rejects.toMatchObject({
    code: 'request-invalid',
    message: expect.stringContaining("'state'") as string,
  });
  await expect(update({ tags: 'a' })).rejects.toMatchObject({ code: 'request-invalid' });
  await expect(update({ name: '  ' })).rejects.toMatchObject({ code: 'request-invalid' });
  expect(await client.request('runs.get', { id: run.id })).toEqual(run);
  expect(await update({ name: ' Orders ', notes: 'n', tags: ['t'] })).toMatchObject({
    name: 'Orders',
    notes: 'n',
    tags: ['t'],
    state: 'done',
  });
});

test('an adapter is imported for its own base and refused for another', { timeout: limit }, async () => {
  const path = join(folder, 'imported');
  cpSync(golden('adapter'), path, { recursive: true });
  expect(await client.request('adapters.import', { projectId, path, modelId })).toMatchObject({ name: 'imported', rank: 4 });
  const file = join(path, 'adapter_model.safetensors');
  expect(await client.request('adapters.import', { projectId, path: file, modelId })).toMatchObject({ name: 'imported', path });
  const other = (await client.request('models.list', { projectId })).find(({ embedded }) => embedded)!;
  const import_ = client.request('adapters.import', { projectId, path, modelId: other.id });
  await expect(import_).rejects.toMatchObject({ code: 'adapter-mismatch' });
});

test('a model opened with an accepted field keeps it: in plans, runs, answers and exports', { timeout: limit }, async () => {
  const path = join(folder, 'strange');
  cpSync(golden('model'), path, { recursive: true });
  const config = JSON.parse(readFileSync(join(path, 'config.json'), 'utf8')) as object;
  writeFileSync(join(path, 'config.json'), JSON.stringify({ ...config, strange_gate: 1 }));
  await expect(client.request('models.add', { projectId, path })).rejects.toMatchObject({
    code: 'field-unknown',
    field: 'strange_gate',
  });
  const acceptFields = ['strange_gate'];
  const { id } = await client.request('models.add', { projectId, path, acceptFields });
  const stored = (await client.request('models.list', { projectId })).find((model) => model.id === id)!;
  expect(stored.acceptFields).toEqual(acceptFields);

  const recipe = { rank: 2, alpha: 4, maxSteps: 1 };
  expect(await client.request('runs.plan', { model: { id }, data: { versionId }, recipe })).toMatchObject({ matrices: 14 });
  const settings = { maxTokens: 2, temperature: 0, topP: 1, topK: 0, seed: 1, ignoreStop: true };
  const answer = { adapters: [], prompt: { tokens: [3, 4] }, settings };
  const { tokens } = await client.request('generate.start', { model: { id }, ...answer, streamId: 'strange' });
  expect(tokens).toHaveLength(2);
  // By its path alone it is refused as ever, and by its path with the field it is not.
  const byPath = client.request('generate.start', { model: { path }, ...answer, streamId: 'refused' });
  await expect(byPath).rejects.toMatchObject({ code: 'field-unknown' });
  const run = await client.request('runs.start', { projectId, model: { path, acceptFields }, data: { versionId }, recipe });
  expect(await reaches(run.id, 'done', 'failed')).toMatchObject({ state: 'done' });
  const adapter = (await client.request('adapters.list', { projectId })).find(({ runId }) => runId === run.id)!;
  expect((await client.request('exports.choices', { adapterId: adapter.id })).length).toBeGreaterThan(1);
  const exported = await client.request('exports.start', {
    projectId,
    model: { path },
    adapters: [{ id: adapter.id }],
    format: 'safetensors',
    quantization: 'f32',
    out: join(folder, 'strange-merged'),
    proof: true,
    data: { paths: [golden('rows.jsonl')] },
  });
  expect(exported).toMatchObject({ state: 'done', proof: { passed: true } });
});
