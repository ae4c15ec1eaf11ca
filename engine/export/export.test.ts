import { fork } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import type { ExportFormat, JobMessage, JobSpec, Proof, Quantization } from '../contract.ts';
import { readGguf, readGgufFloat32 } from '../formats/gguf.ts';
import { readSafetensors, readSafetensorsFloat32 } from '../formats/safetensors.ts';
import { runExport } from '../jobs/export.ts';
import { openModel, type OpenModel } from '../models/open.ts';
import { Problem } from '../problem.ts';
import { openSession } from '../runtime/session.ts';
import { noAdapterShape, type Adapter } from '../adapters/adapter.ts';
import { openHashedAdapter } from '../adapters/adapted.ts';
import { readAdapter } from '../adapters/folder.ts';
import { logitsOf } from '../testing/logits.ts';
import { exportChoices, exportTargets, findTarget, type ExportTarget } from './index.ts';
import { measureImportance } from './importance.ts';
import { readManifest } from './manifest.ts';
import { mergeAdapters } from './merge.ts';
import { builtInRows, type ProofFailed, proveExport } from './proof.ts';
import { exportSource } from './source.ts';

const golden = join(import.meta.dirname, '../golden');
const root = mkdtempSync(join(tmpdir(), 'export-'));
const cacheDir = join(root, 'cache');
afterAll(() => rmSync(root, { recursive: true }));

const port = (stopRequested = false) => ({
  send: () => {},
  stopRequested,
  onRequest: () => {},
  untilStopped: () => new Promise<void>(() => {}),
});

function exportSpec(
  name: string,
  model: string,
  format: ExportFormat,
  quantization: Quantization | null,
  change: Partial<Extract<JobSpec, { kind: 'export' }>> = {},
): Extract<JobSpec, { kind: 'export' }> {
  return {
    kind: 'export',
    model: { path: join(golden, name, model) },
    adapters: [{ path: join(golden, name, 'adapter'), weight: 1 }],
    format,
    quantization,
    out: join(root, `${name}-${model}-${format}-${quantization}`),
    proof: true,
    rows: { data: { paths: [join(golden, name, 'rows.jsonl')] } },
    cacheDir,
    ...change,
  };
}

async function problemOf(action: Promise<unknown>): Promise<Problem> {
  const error: unknown = await action.then(
    () => null,
    (thrown: unknown) => thrown,
  );
  expect(error).toBeInstanceOf(Problem);
  return error as Problem;
}

describe.each([
  ['llama-tied', 'model'],
  ['llama3-rope', 'model.gguf'],
])('every format of %s/%s', (name, model) => {
  const { spec: decoder } = openModel(join(golden, name, model));
  const possible = exportTargets.filter((target) => (target.refusal?.(decoder, noAdapterShape) ?? null) === null);
  it.each(possible.map(({ format, quantization }) => [format, quantization] as const))(
    '%s %s is proved and as large as announced',
    async (format, quantization) => {
      const spec = exportSpec(name, model, format, quantization);
      const { path, bytes, proof } = await runExport(spec, port());
      expect(proof!.checks.length).toBeGreaterThan(2);
      expect(proof!.positions).toBeGreaterThan(100);
      // Random weights of 32 columns are the worst case of block types: what a real model must hold they may miss, but not by far.
      const { top1Agreement } = findTarget(format, quantization).limits;
      if (quantization?.startsWith('q')) expect(proof!.top1Agreement).toBeGreaterThan(top1Agreement! - 0.25);
      else expect(proof!.passed).toBe(true);
      if (quantization === 'f32') expect(proof!.maxLogitDifference).toBeLessThan(2e-5);
      const opened = openModel(spec.model.path);
      const shape = readAdapter(spec.adapters[0]!.path, opened).shape;
      const announced = exportChoices(opened, shape).find(
        (choice) => choice.format === format && choice.quantization === quantization,
      )!;
      expect(Math.abs(announced.bytes - bytes)).toBeLessThan(8000);
      expect(existsSync(path)).toBe(true);
    },
  );
});

it.each(['lora-gguf', 'mlx'] as const)(
  '%s of an adapter it has no place for is refused before its size is asked for',
  async (format) => {
    const spec = exportSpec('lora-tied', 'model', format, null, { proof: false });
    await expect(runExport(spec, port())).rejects.toMatchObject({
      code: 'export-unsupported',
      message: expect.stringContaining('share their weights') as string,
    });
  },
);

it('the merged logits are those of PEFT', async () => {
  const { path } = await runExport(exportSpec('llama3-rope', 'model', 'gguf', 'f32', { proof: false }), port());
  const merged = openModel(path);
  const rows = readFileSync(join(golden, 'llama3-rope/rows.jsonl'), 'utf8').split('\n').slice(0, 2);
  const file = join(golden, 'llama3-rope/expected.safetensors');
  const tensor = readSafetensors(file).tensors.get('merged_logits')!;
  const expected = readSafetensorsFloat32(file, tensor);
  const [, time, width] = tensor.shape as [number, number, number];
  for (const [row, line] of rows.entries()) {
    const ids = Int32Array.from((JSON.parse(line) as { input_ids: number[] }).input_ids);
    const batch = { inputIds: ids, labels: ids, batch: 1, time: ids.length, lengths: [ids.length] };
    const logits = await logitsOf(merged, null, batch, { threads: 1, cacheDir, openSession });
    const from = row * time * width;
    const largest = logits.reduce((most, value, i) => Math.max(most, Math.abs(value - expected[from + i]!)), 0);
    expect(largest).toBeLessThan(2e-5);
  }
});

it.each(['llama-tied', 'llama3-rope'])('the GGUF of %s is what llama.cpp’s own converter writes', async (name) => {
  const { path } = await runExport(
    exportSpec(name, 'model', 'gguf', 'f32', { adapters: [], proof: false, out: join(root, `${name}.gguf`) }),
    port(),
  );
  const theirs = readGguf(join(golden, name, 'model.gguf'));
  const ours = readGguf(path);
  for (const [key, value] of theirs.metadata) {
    // How the converter names a model it knows only by its folder.
    if (/^general\.(name|size_label)$/.test(key)) continue;
    expect(ours.metadata.get(key), key).toEqual(value);
  }
  expect([...ours.tensors.keys()].sort()).toEqual([...theirs.tensors.keys()].sort());
  for (const [tensor, stored] of theirs.tensors) {
    expect(ours.tensors.get(tensor)!.shape).toEqual(stored.shape);
    const expected = readGgufFloat32(theirs.path, stored);
    readGgufFloat32(path, ours.tensors.get(tensor)!).forEach((value, i) =>
      expect(Math.abs(value - expected[i]!)).toBeLessThan(1e-6),
    );
  }
});

it('importance of the columns is the mean square of what flows into them, and changes the file', async () => {
  const modelPath = join(golden, 'llama-tied/model');
  const model = openModel(modelPath);
  const lines = readFileSync(join(golden, 'llama-tied/rows.jsonl'), 'utf8').trim().split('\n');
  const rows = lines.map((line) => Int32Array.from((JSON.parse(line) as { input_ids: number[] }).input_ids));
  const adapter = readAdapter(join(golden, 'llama-tied/adapter'), model);
  const request = { model, adapters: [{ adapter, weight: 1 }], rows, threads: 1 };
  const importance = await measureImportance({ ...request, cacheDir, openSession, onRow: async () => {} });

  // Into the first layer flow normed embeddings.
  const width = model.spec.hiddenSize;
  const embedding = model.weights.read('model.embed_tokens.weight');
  const norm = model.weights.read('model.layers.0.input_layernorm.weight');
  const tokens = rows.flatMap((row) => [...row]);
  const expected = new Float64Array(width);
  for (const token of tokens) {
    const x = embedding.subarray(token * width, (token + 1) * width);
    const meanSquare = x.reduce((sum, value) => sum + value * value, 0) / width;
    for (let i = 0; i < width; i++)
      expected[i]! += (x[i]! * norm[i]!) ** 2 / (meanSquare + model.spec.norm.epsilon) / tokens.length;
  }
  const found = importance.get('model.layers.0.self_attn.q_proj.weight')!;
  found.forEach((value, i) => expect(Math.abs(value / expected[i]! - 1)).toBeLessThan(1e-5));
  expect(importance.get('model.layers.0.self_attn.v_proj.weight')).toEqual(found);
  expect(importance.size).toBe(7 * model.spec.blocks.length);
  expect(importance.get('model.layers.1.mlp.down_proj.weight')).toHaveLength(
    model.spec.blocks[0]!.feedForward.intermediateSize,
  );

  const written = async (importancePaths: string[], out: string) => {
    const change = { importance: { data: { paths: importancePaths } }, proof: false, out: join(root, out) };
    const { path } = await runExport(exportSpec('llama-tied', 'model', 'gguf', 'q4_0', change), port());
    const file = readGguf(path);
    return { file, values: readGgufFloat32(path, file.tensors.get('blk.0.attn_q.weight')!) };
  };
  const plain = await written([], 'plain.gguf');
  const weighted = await written([join(golden, 'llama-tied/rows.jsonl')], 'weighted.gguf');
  expect(weighted.values).not.toEqual(plain.values);
  expect(weighted.file.metadata.get('quantize.imatrix.entries_count')).toEqual({ type: 'uint32', value: importance.size });
});

it('a GGUF becomes a hub folder with the config it was made from', async () => {
  const { path } = await runExport(
    exportSpec('llama3-rope', 'model.gguf', 'safetensors', 'f32', { out: join(root, 'hub') }),
    port(),
  );
  expect(openModel(path).spec).toEqual(openModel(join(golden, 'llama3-rope/model')).spec);
});

it('merges several adapters with their weights', async () => {
  const modelPath = join(golden, 'llama-tied/model');
  const adapterPath = join(golden, 'llama-tied/adapter');
  const out = join(root, 'merged');
  const merge = { kind: 'export', format: 'safetensors', quantization: 'f32', proof: false } as const;
  const adapters = [
    { path: adapterPath, weight: 0.75 },
    { path: adapterPath, weight: 0.25 },
  ];
  await runExport({ ...merge, model: { path: modelPath }, adapters, out, cacheDir }, port());
  const model = openModel(modelPath);
  const once = mergeAdapters(model, [{ adapter: readAdapter(adapterPath, model), weight: 1 }]).weights;
  const merged = openModel(out);
  let changed = 0;
  for (const name of model.weights.names) {
    const [a, b, base] = [merged.weights.read(name), once.read(name), model.weights.read(name)];
    a.forEach((value, i) => expect(Math.abs(value - b[i]!)).toBeLessThan(1e-7));
    if (b.some((value, i) => value !== base[i])) changed++;
  }
  expect(changed).toBe(14);
});

describe('an adapter that is known', () => {
  const given = join(golden, 'llama-tied/adapter');
  const changed = (name: string): string => {
    const path = join(root, name);
    cpSync(given, path, { recursive: true });
    const weights = join(path, 'adapter_model.safetensors');
    const bytes = readFileSync(weights);
    bytes.writeFloatLE(0.5, bytes.length - 4);
    writeFileSync(weights, bytes);
    return path;
  };
  const { file } = openHashedAdapter(openModel(join(golden, 'llama-tied/model')), given);

  it('is refused once its file is another, and nothing is written', async () => {
    const path = changed('changed');
    const out = join(root, 'of-changed');
    const adapters = [{ path, weight: 1, hash: file.hash }];
    const problem = await problemOf(
      runExport(exportSpec('llama-tied', 'model', 'safetensors', 'f32', { adapters, out }), port()),
    );
    expect(problem).toMatchObject({ code: 'adapter-changed' });
    expect(problem.message).toContain(join(path, 'adapter_model.safetensors'));
    expect(problem.message).toContain(file.hash);
    expect(existsSync(out)).toBe(false);
  });

  it('is taken as it is where nobody knows of it, or it is as it was', async () => {
    const origin = { exportId: 'e', adapters: [] };
    for (const [path, hash] of [
      [changed('unknown'), undefined],
      [given, file.hash],
    ] as const) {
      const out = join(root, `of-${hash}`);
      const adapters = [{ path, weight: 1, ...(hash === undefined ? {} : { hash }) }];
      const spec = exportSpec('llama-tied', 'model', 'peft', null, { adapters, out, origin, proof: false });
      await runExport(spec, port());
      const read = openHashedAdapter(openModel(spec.model.path), path).file.hash;
      expect(readManifest(out)!.lineage.adapters).toMatchObject([{ hash: read }]);
    }
  });

  it('is one of the run that is named with it, or else of the one that it lies in', async () => {
    const record = (name: string) => ({
      ...{ version: 1, recipe: {}, base: { hash: 'x' }, totalSteps: 7, trainableParameters: 1, evaluation: null },
      ...{ data: { paths: [`/${name}.jsonl`], hash: 'abcd', rows: 12 }, startedAt: '2026-07-15T12:00:00Z' },
    });
    for (const name of ['named', 'around']) {
      mkdirSync(join(root, name));
      writeFileSync(join(root, name, 'run.json'), JSON.stringify(record(name)));
    }
    const origin = { exportId: 'e', adapters: [] };
    const cases = [
      [{ path: given, runFolder: join(root, 'named') }, 'named.jsonl'],
      [{ path: changed('around/adapter') }, 'around.jsonl'],
      [{ path: changed('around/checkpoints/step-000002') }, 'around.jsonl'],
      [{ path: given }, undefined],
    ] as const;
    for (const [index, [at, data]] of cases.entries()) {
      const out = join(root, `run-${index}`);
      const adapters = [{ ...at, weight: 1 }];
      await runExport(exportSpec('llama-tied', 'model', 'peft', null, { adapters, out, origin, proof: false }), port());
      expect(readManifest(out)!.lineage.data?.name).toBe(data);
    }
  });
});

it('several adapters at once are proved against base and all of them', async () => {
  const [first, second] = ['lora-dora', 'lora-head-embed'].map((name) => join(golden, name, 'adapter'));
  const adapters = [
    { path: first!, weight: 0.75 },
    { path: second!, weight: -0.5 },
  ];
  const out = join(root, 'several.gguf');
  const { proof } = await runExport(exportSpec('lora-dora', 'model', 'gguf', 'f32', { adapters, out }), port());
  expect(proof).toMatchObject({ passed: true });
  expect(proof!.maxLogitDifference).toBeLessThan(2e-5);
  expect(proof!.checks.find(({ name }) => name === 'Effect of the adapter')!.value).toBeGreaterThan(0.999);
});

async function prove(model: OpenModel, adapter: Adapter | null, target: ExportTarget, path: string): Promise<Proof> {
  const onProgress = async () => {};
  return proveExport({
    ...{ source: exportSource(model, adapter ? [{ adapter, weight: 1 }] : [], null), target, path },
    ...{
      rows: await builtInRows(null, model.spec),
      threads: 1,
      cacheDir,
      workDir: cacheDir,
      openSession,
      onTensor: onProgress,
      onRow: onProgress,
    },
  });
}

describe('nothing half-written is left', () => {
  const empty = join(root, 'empty');
  mkdirSync(empty);

  it('when the proof fails', async () => {
    // The file of another adapter: read back it is sound, but not what was asked for.
    const model = openModel(join(golden, 'llama-tied/model'));
    const adapter = readAdapter(join(golden, 'llama-tied/adapter'), model);
    const target = findTarget('gguf', 'f32');
    const path = join(empty, 'wrong.gguf');
    await target.write(path, exportSource(model, [], null), async () => {});
    const problem = await problemOf(prove(model, adapter, target, path));
    expect(problem.code).toBe('proof-failed');
    expect(problem.message).toMatch(/Weights: the worst of 20 tensors, model\.layers\.\d\./);
    // Every single check is there to be looked at.
    const { proof } = problem as ProofFailed;
    expect(proof.checks.map(({ name, passed }) => `${name} ${passed}`)).toEqual([
      'Structure true',
      'Tokenizer true',
      'Chat template true',
      'Weights false',
      'Largest logit difference false',
      'Same most likely token true',
      'Distributions true',
      'Effect of the adapter false',
    ]);
    rmSync(path);
  });

  it('when a tensor is another one, however coarse the type', async () => {
    const model = openModel(join(golden, 'llama-tied/model'));
    const source = exportSource(model, [], null);
    const read = (name: string) => source.weights.read(name.replace('layers.1.self_attn.k_proj', 'layers.1.self_attn.v_proj'));
    const target = findTarget('gguf', 'q2_k');
    const path = join(empty, 'mixed-up.gguf');
    await target.write(path, { ...source, weights: { read } }, async () => {});
    const problem = await problemOf(prove(model, null, target, path));
    expect(problem.message).toMatch(/model\.layers\.1\.self_attn\.k_proj\.weight, is off by 1\./);
    rmSync(path);
  });

  it('when half precision was not rounded to the nearest', async () => {
    const model = openModel(join(golden, 'llama-tied/model'));
    const source = exportSource(model, [], null);
    // A step of bf16 off, which for f16 is eight.
    const read = (name: string) => source.weights.read(name).map((value) => value * (1 + 2 ** -8));
    const target = findTarget('gguf', 'f16');
    const path = join(empty, 'cut.gguf');
    await target.write(path, { ...source, weights: { read } }, async () => {});
    const problem = await problemOf(prove(model, null, target, path));
    expect(problem.message).toMatch(/Weights: the worst of 20 tensors, .* is off by 0\.003\d* of itself \(at most 0\.0004/);
    rmSync(path);
  });

  it('when it is stopped, and the folder that was there stays', async () => {
    const problem = await problemOf(
      runExport(exportSpec('llama-tied', 'model', 'safetensors', null, { out: empty }), port(true)),
    );
    expect(problem.code).toBe('stopped');
    expect(readdirSync(empty)).toEqual([]);
    expect(readdirSync(root).filter((name) => name.startsWith('.partial'))).toEqual([]);
  });

  it('and nothing is ever replaced', async () => {
    const taken = join(root, 'taken');
    cpSync(join(golden, 'llama-tied/adapter'), taken, { recursive: true });
    for (const [format, out] of [
      ['safetensors', taken],
      ['peft', taken],
      ['gguf', join(taken, 'adapter_config.json')],
    ] as const) {
      const problem = await problemOf(runExport(exportSpec('llama-tied', 'model', format, null, { out }), port()));
      expect(problem.code).toBe('folder-not-empty');
    }
    expect(readdirSync(taken).sort()).toEqual(['adapter_config.json', 'adapter_model.safetensors']);
  });

  it.each(['Writing', 'Proving'])('when it is killed while %s, and the next one clears up', async (phase) => {
    const folder = join(root, `killed-${phase}`);
    mkdirSync(folder);
    const out = join(folder, 'model.gguf');
    const spec = exportSpec('llama-tied', 'model', 'gguf', null, { out });
    const job = fork(join(import.meta.dirname, '../jobs/run-job.ts'), { execArgv: [], stdio: 'ignore' });
    job.on('message', (message: JobMessage) => {
      if (message.type === 'progress' && message.progress.phase === phase) job.kill('SIGKILL');
    });
    job.send({ type: 'start', spec });
    await once(job, 'exit');
    // On a busy machine the signal can come too late: then the file must be whole.
    if (existsSync(out)) expect(openModel(out).format).toBe('gguf');
    else await runExport(spec, port());
    expect(readdirSync(folder)).toEqual(['model.gguf']);
  });

  it('when the place cannot be written', async () => {
    const file = join(root, 'file');
    writeFileSync(file, '');
    const problem = await problemOf(
      runExport(exportSpec('llama-tied', 'model', 'gguf', null, { out: join(file, 'x.gguf') }), port()),
    );
    expect(problem.code).toBe('folder-unwritable');
  });
});

it('refuses what it cannot do by name', async () => {
  expect(() => findTarget('safetensors', 'q8_0')).toThrow(/cannot be written as 'q8_0'/);
  expect(() => findTarget('tflite' as ExportFormat, null)).toThrow(/no export format 'tflite'/);
  const other = exportSpec('llama-tied', 'model', 'gguf', null, {
    adapters: [{ path: join(golden, 'llama3-rope/adapter'), weight: 1 }],
    out: join(root, 'x'),
  });
  expect((await problemOf(runExport(other, port()))).code).toBe('adapter-mismatch');
});
