/** An exported file or folder is known again: where it lies, copied, renamed, and changed. */
import { appendFileSync, cpSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { ExportFormat, ExportRecord, JobSpec, Quantization, Run } from '../contract.ts';
import { runDescribe } from '../jobs/describe.ts';
import { runExport } from '../jobs/export.ts';
import { runIdentify } from '../jobs/identify.ts';
import { runInspect } from '../jobs/inspect.ts';
import type { Supervisor } from '../jobs/supervisor.ts';
import { openModel } from '../models/open.ts';
import { openStore } from '../store/open.ts';
import { AdapterRegistry } from './adapters.ts';
import type { HostContext } from './context.ts';
import { identify, withOrigin } from './identify.ts';
import { Unsaved } from './unsaved.ts';

const golden = join(import.meta.dirname, '../golden/llama-tied');
const folder = mkdtempSync(join(tmpdir(), 'identify-'));
const store = openStore(folder);
afterAll(() => {
  store.close();
  rmSync(folder, { recursive: true, force: true });
});
// Jobs run in this process.
const supervisor = { run: (spec: JobSpec) => runIdentify(spec as never) } as unknown as Supervisor;
const context: HostContext = { dataDir: folder, cacheDir: folder, store, supervisor, unsaved: new Unsaved(), emit: () => {} };
const { signal } = new AbortController();
const silent = {
  send: () => {},
  stopRequested: false,
  onRequest: () => {},
  untilStopped: () => new Promise<void>(() => {}),
};

const runFolder = join(folder, 'run');
let run: Run;
let adapterId: string;

beforeAll(async () => {
  const projectId = 'exports';
  store.projects.insert({ id: projectId, name: 'Exports', createdAt: 1 });
  cpSync(join(golden, 'adapter'), join(runFolder, 'adapter'), { recursive: true });
  const { defaultRecipe } = await import('../recipe.ts');
  const recipe = { ...defaultRecipe(), rank: 4, alpha: 8 };
  writeFileSync(
    join(runFolder, 'run.json'),
    JSON.stringify({
      ...{ version: 1, recipe, base: { hash: 'x' }, totalSteps: 7, trainableParameters: 3904 },
      data: { paths: ['/data/orders.jsonl'], hash: 'abcd', rows: 12 },
      evaluation: { rows: 5 },
    }),
  );
  const evaluations = [0, 7].map((step) => JSON.stringify({ step, evalLoss: 2.5 - step / 10 }));
  writeFileSync(join(runFolder, 'metrics.jsonl'), evaluations.map((line) => `${line}\n`).join(''));
  run = {
    ...{ id: 'run-1', projectId, name: 'Orders', colour: 1, state: 'done', phase: '', modelId: null, modelName: 'tied' },
    ...{ modelPath: join(golden, 'model'), datasetId: null, datasetName: 'orders', versionId: null, version: null },
    ...{ recipe, device: 'cpu', out: runFolder },
    ...{ step: 7, totalSteps: 7, secondsLeft: null, seconds: 0, lastLoss: null, measures: {} },
    ...{ trainableParameters: 0, peakMemory: 0, problem: null, notes: '', tags: [], createdAt: 1, finishedAt: 2 },
  };
  store.runs.insert(run, {
    ...{ data: { paths: [] }, adapterPath: null, device: 'auto', skipBadRows: false },
  });
  const adapter = runDescribe({ kind: 'describe', model: { path: run.modelPath }, adapterPath: join(runFolder, 'adapter') });
  const published = { type: 'adapter', at: 2, step: 7, evalLoss: null, adapter } as const;
  adapterId = new AdapterRegistry(context).putPublished(run, published).id;
});

async function written(format: ExportFormat, quantization: Quantization | null): Promise<ExportRecord> {
  const id = `export-${format}`;
  const {
    notes: _,
    refused: __,
    ...result
  } = await runExport(
    {
      ...{
        kind: 'export',
        model: { path: join(golden, 'model') },
        format,
        quantization,
        proof: true,
        cacheDir: join(folder, 'cache'),
      },
      adapters: [{ path: join(runFolder, 'adapter'), weight: 1 }],
      out: join(folder, `${format}-out${/gguf/.test(format) ? '.gguf' : ''}`),
      rows: { data: { paths: [join(golden, 'rows.jsonl')] } },
      origin: { exportId: id, adapters: [{ name: 'Orders v1', run: { id: run.id, name: run.name } }] },
    },
    silent,
  );
  const record: ExportRecord = {
    ...{ id, projectId: run.projectId, adapterId, adapterName: 'Orders v1', modelName: 'tied', format, quantization },
    ...{ ...result, state: 'done', problem: null, createdAt: 3 },
  };
  store.exports.put(record);
  return record;
}

const formats: readonly (readonly [ExportFormat, Quantization | null, string])[] = [
  ['peft', null, 'adapter_model.safetensors'],
  ['lora-gguf', null, ''],
  ['mlx', null, 'adapters.safetensors'],
  ['safetensors', 'f16', 'model.safetensors'],
  ['gguf', 'q8_0', ''],
  ['onnx', 'q8', 'onnx/model_quantized.onnx_data'],
  ['onnx-adapter', 'f16', 'adapter.onnx_adapter'],
];

it.each(formats)('%s', async (format, quantization, weights) => {
  const record = await written(format, quantization);
  const found = await identify(context, record.path, signal);
  expect(found).toMatchObject({ by: 'hash', changed: [], adapter: { id: adapterId }, run: { id: run.id } });
  expect(found!.export).toEqual(record);

  // Elsewhere, under another name, and for a folder the one file with its numbers.
  const copy = join(folder, `${format}-copy${/gguf/.test(format) ? '.gguf' : ''}`);
  cpSync(record.path, copy, { recursive: true });
  expect(await identify(context, copy, signal)).toMatchObject({ by: 'hash', changed: [], run: { id: run.id } });
  if (weights !== '') {
    const alone = join(folder, `alone-${format}`);
    cpSync(join(record.path, weights), alone);
    expect(await identify(context, join(copy, weights), signal)).toMatchObject({ changed: [], run: { id: run.id } });
    renameSync(alone, `${alone}${/\.\w+$/.exec(weights)![0]}`);
    expect(await identify(context, `${alone}${/\.\w+$/.exec(weights)![0]}`, signal)).toMatchObject({ by: 'hash', changed: [] });
  }

  // Changed since.
  const touched = weights === '' ? copy : join(copy, weights);
  appendFileSync(touched, '\0');
  const changed = await identify(context, copy, signal);
  expect(changed).toMatchObject({ run: { id: run.id }, adapter: { id: adapterId } });
  // A PEFT adapter read back is the one that was trained; here its numbers are others.
  expect(changed!.changed).toEqual([weights === '' ? copy.slice(folder.length + 1) : weights]);
});

it('the adapter of a version is known where it lies, and each of its files that has changed is named', async () => {
  const path = join(runFolder, 'adapter');
  const inspected = async () =>
    withOrigin(await runInspect({ kind: 'inspect', path }, silent), await identify(context, path, signal));
  const since = (value: string) => ({ label: 'Since it was written', value });
  expect((await inspected()).summary).toContainEqual(since('unchanged'));
  const [config, weights] = ['adapter_config.json', 'adapter_model.safetensors'] as const;
  const texts = [config, weights].map((name) => [join(path, name), readFileSync(join(path, name))] as const);
  const changed = Buffer.from(texts[1]![1]);
  changed[changed.length - 2]! ^= 1;
  writeFileSync(texts[0]![0], JSON.stringify({ ...JSON.parse(String(texts[0]![1])), lora_alpha: 99 }));
  expect((await inspected()).summary).toContainEqual(since(`changed: ${config}`));
  // A copy has the numbers of the version, and is no more that version than the folder is.
  const copy = join(folder, 'changed-copy');
  cpSync(path, copy, { recursive: true });
  expect(await identify(context, copy, signal)).toMatchObject({ adapter: { id: adapterId }, changed: [config] });
  writeFileSync(texts[1]![0], changed);
  expect(await identify(context, path, signal)).toMatchObject({
    ...{ by: 'place', adapter: { id: adapterId }, run: { id: run.id } },
    changed: expect.arrayContaining([config, weights]) as string[],
  });
  for (const [name, bytes] of texts) writeFileSync(name, bytes);
});

it('of equal runs, the one is named whose adapter lies there, and the others besides', async () => {
  const path = join(folder, 'twin/adapter');
  cpSync(join(runFolder, 'adapter'), path, { recursive: true });
  const twin = { ...run, id: 'run-2', name: 'Twin', out: join(folder, 'twin') };
  store.runs.insert(twin, { data: { paths: [] }, adapterPath: null, device: 'auto', skipBadRows: false });
  const adapter = runDescribe({ kind: 'describe', model: { path: run.modelPath }, adapterPath: path });
  const other = new AdapterRegistry(context).putPublished(twin, { type: 'adapter', at: 2, step: 7, evalLoss: null, adapter });
  for (const [at, id, equal] of [
    [join(runFolder, 'adapter'), run.id, other.id],
    [path, twin.id, adapterId],
  ] as const)
    expect(await identify(context, at, signal)).toMatchObject({ run: { id }, equal: [{ id: equal }], changed: [] });
  const found = await identify(context, path, signal);
  expect(withOrigin({ kind: 'adapter', path, sound: true, summary: [] }, found).summary).toContainEqual({
    label: 'Equal to',
    value: 'Orders v1',
  });
});

it('in a data folder that knows nothing of it, it still says what it is of', async () => {
  const elsewhere = mkdtempSync(join(tmpdir(), 'identify-other-'));
  const other = openStore(elsewhere);
  try {
    const path = join(folder, 'safetensors-out');
    const found = await identify({ ...context, store: other }, path, signal);
    expect(found).toMatchObject({ by: 'metadata', export: null, adapter: null, run: null, changed: [] });
    expect(found!.lineage).toMatchObject({
      base: { name: openModel(join(golden, 'model')).info.name },
      adapters: [{ name: 'Orders v1', weight: 1, run: { name: 'Orders' } }],
      data: { name: 'orders.jsonl', hash: 'abcd', rows: 12 },
    });
    const inspected = withOrigin(await runInspect({ kind: 'inspect', path }, silent), found);
    expect(inspected.summary).toContainEqual({ label: 'Made by run', value: 'Orders' });
    expect(inspected.summary).toContainEqual({ label: 'Since it was written', value: 'unchanged' });
    expect(await identify({ ...context, store: other }, join(golden, 'model'), signal)).toBeNull();
  } finally {
    other.close();
    rmSync(elsewhere, { recursive: true });
  }
});

it('an ONNX folder is inspected as what it is', async () => {
  const { kind, sound, summary } = await runInspect({ kind: 'inspect', path: join(folder, 'onnx-out') }, silent);
  expect({ kind, sound }).toEqual({ kind: 'export', sound: true });
  expect(summary).toContainEqual({ label: 'Kind', value: 'export, onnx q8' });
});

it('the card says what is known', () => {
  const card = readFileSync(join(folder, 'safetensors-out/README.md'), 'utf8');
  expect(card).toMatch(
    /^---\nlibrary_name: transformers\npipeline_tag: text-generation\ntags:\n- lowrank-studio\n- lora\n---\n/,
  );
  expect(card).toContain(`${openModel(join(golden, 'model')).info.name} with ‘Orders v1’.`);
  expect(card).toContain('12 rows of orders.jsonl, SHA-256 `abcd`');
  expect(card).toContain('Loss on 5 rows it was not trained on: 2.5000 before, 1.8000 after.');
  expect(card).toMatch(/\| rank \| 4 \|\n\| alpha \| 8 \|/);
  expect(card).toMatch(/\| Same most likely token \| .* \| holds \|/);
  expect(card).not.toMatch(/undefined|null|NaN/);
  expect(readFileSync(join(folder, 'peft-out/README.md'), 'utf8')).toContain('library_name: peft');
});

it('what is no export is nothing', async () => {
  mkdirSync(join(folder, 'empty'));
  expect(await identify(context, join(folder, 'empty'), signal)).toBeNull();
});
