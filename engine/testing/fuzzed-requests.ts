/** Sends every request of the contract, with parameters changed at random, to a real host. */
import { type ChildProcess, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'vitest';
import type { EngineRequests, Params } from '../contract.ts';
import { checkRequest } from '../host/request-shapes.ts';
import { toProblemValue } from '../problem.ts';
import { connectHost, type HostClient } from '../rpc.ts';

const golden = join(import.meta.dirname, '../golden/llama-tied');

type Name = keyof EngineRequests;
type Examples = { readonly [N in Name]: Params<EngineRequests, N> };

export interface FuzzedHost {
  readonly folder: string;
  readonly client: HostClient;
  readonly examples: Examples;
  readonly close: () => void;
  /** Returns everything beside the data folder and the places written to, with its content. */
  readonly surroundings: () => string;
  /** Is a process that does not belong to the host and must survive. */
  readonly stranger: ChildProcess;
}

/**
 * Starts a host in a folder of its own, which is also what it thinks is a person's home. `filled` puts a project, a model and
 * rows into it.
 */
export async function fuzzedHost(filled: boolean): Promise<FuzzedHost> {
  const folder = mkdtempSync(join(tmpdir(), 'lowrank-requests-'));
  for (const name of ['home', 'temporary', 'given']) mkdirSync(join(folder, name));
  cpSync(golden, join(folder, 'given'), { recursive: true });
  const precious = join(folder, 'given', 'precious.txt');
  writeFileSync(precious, 'nobody else has this');
  const env = { HOME: join(folder, 'home'), USERPROFILE: join(folder, 'home'), TMPDIR: join(folder, 'temporary') };
  const client = await connectHost(join(folder, 'data'), { env });
  const stranger = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)'], { stdio: 'ignore' });

  // Without a project every path is one that is refused before a job is started for it.
  const at = (name: string): string => (filled ? join(folder, 'given', name) : name);
  const [modelPath, rows, adapterPath] = [at('model'), at('rows.jsonl'), at('adapter')];
  const ids = { projectId: 'none', modelId: 'none', versionId: 'none', adapterId: 'none', runId: 'none', exportId: 'none' };
  if (filled) {
    const { id: projectId } = await client.request('projects.create', { name: 'Fuzzed' });
    const { id: modelId } = await client.request('models.add', { projectId, path: modelPath });
    const {
      version: { id: versionId },
    } = await client.request('datasets.add', { projectId, data: { paths: [rows] } });
    const { id: adapterId } = await client.request('adapters.import', { projectId, path: adapterPath, modelId });
    const recipe = { rank: 2, maxSteps: 1, batchSize: 1 };
    const run = await client.request('runs.start', { projectId, model: { id: modelId }, data: { versionId }, recipe });
    Object.assign(ids, { projectId, modelId, versionId, adapterId, runId: run.id });
  }
  const { projectId, modelId, versionId, adapterId, runId, exportId } = ids;
  const recipe = { rank: 2, maxSteps: 1, batchSize: 1, targetModules: ['q_proj'], learningRate: 1e-4 };
  const settings = { maxTokens: 2, temperature: 0.5, topP: 0.9, topK: 4, seed: 1, ignoreStop: false };
  const out = join(folder, 'written', 'export');
  const ofRun = { id: runId };
  const model = { path: modelPath };
  return {
    folder,
    client,
    stranger,
    examples: {
      'machine.get': undefined,
      'machine.measure': { again: false },
      'machine.memory': undefined,
      'projects.list': undefined,
      'projects.create': { name: 'Another' },
      'projects.rename': { id: projectId, name: 'Other' },
      'models.list': { projectId },
      'models.add': { projectId, path: modelPath, acceptFields: ['a'] },
      'models.remove': { id: 'none' },
      'models.targets': { modelId, recipe },
      'datasets.list': { projectId },
      'datasets.add': {
        projectId,
        name: 'Rows',
        data: { paths: [rows], evalPaths: [rows], mapping: { question: null, answer: 'a', system: null } },
      },
      'datasets.addVersion': { id: 'none' },
      'datasets.change': { id: 'none', change: { kind: 'split', fraction: 0.5, seed: 0 } },
      'datasets.mix': {
        projectId,
        name: 'Mix',
        mix: {
          parts: [
            { name: 'a', data: { versionId }, repeat: 1.5, most: 3 },
            { data: { paths: [rows] }, repeat: 0 },
          ],
          seed: 1,
        },
      },
      'datasets.remix': { id: 'none', mix: { parts: [{ data: { versionId }, repeat: 2 }], seed: 0 } },
      'datasets.undo': { id: 'none' },
      'datasets.versions': { id: 'none' },
      'datasets.use': { id: 'none', versionId: 'none' },
      'datasets.rename': { id: 'none', name: 'Other' },
      'datasets.map': { id: 'none', mapping: { question: 'a', answer: { template: '{b}' }, system: { constant: 'c' } } },
      'datasets.relocate': { id: 'none', from: rows, to: rows },
      'datasets.keep': { projectId, text: 'a,b\n1,2\n', format: 'csv' },
      'datasets.columns': { path: rows },
      'datasets.remove': { id: 'none' },
      'runs.list': { projectId },
      'runs.get': ofRun,
      'runs.plan': { model: { id: modelId }, data: { versionId }, recipe },
      'runs.fit': { model, data: { paths: [rows] }, recipe, budget: 1e9 },
      'runs.start': { projectId, name: 'Run', model, data: { paths: [rows], evalPaths: [] }, recipe, skipBadRows: true },
      'runs.pause': ofRun,
      'runs.stop': { id: runId, force: true },
      'runs.resume': ofRun,
      'runs.queue': undefined,
      'runs.move': { id: runId, place: 1 },
      'runs.update': { id: runId, name: 'Name', notes: 'Notes', tags: ['a'] },
      'runs.remove': { id: 'none' },
      'runs.metrics': { id: runId, afterStep: 0 },
      'runs.schedule': ofRun,
      'runs.samples': ofRun,
      'runs.log': ofRun,
      'runs.checkpoints': ofRun,
      'runs.worst': ofRun,
      'adapters.list': { projectId },
      'adapters.import': { projectId, path: adapterPath, modelId },
      'adapters.update': { id: adapterId, name: 'Name', tag: 'best' },
      'adapters.updates': { id: adapterId },
      'adapters.matrix': { id: adapterId, path: 'model.layers.0.self_attn.q_proj' },
      'adapters.mixes': { projectId },
      'adapters.mix': {
        ...{ projectId, model, name: 'Mixed', out: join(folder, 'written', 'mix') },
        adapters: [{ id: adapterId }, { path: adapterPath, weight: -0.5 }],
        mix: { method: 'dare-ties-svd', rank: 2, density: 0.5, majoritySign: 'total', seed: 1 },
      },
      'adapters.truncate': { projectId, model, adapter: { id: adapterId }, rank: 1, out: join(folder, 'written', 'cut') },
      'generate.start': {
        ...{ model, adapters: [{ path: adapterPath, weight: 1 }], settings, streamId: 's' },
        prompt: { messages: [{ role: 'user', content: 'Hi' }] },
        schema: { type: 'string', maxLength: 5 },
      },
      'serve.start': { model, adapters: [{ path: adapterPath, weight: 1 }] },
      'serve.stop': undefined,
      'serve.state': undefined,
      'exports.choices': { adapterId },
      'exports.list': { projectId },
      'exports.start': {
        ...{ projectId, model, adapters: [{ path: adapterPath, weight: 1 }], format: 'safetensors', quantization: 'f32' },
        ...{ out, proof: false, data: { paths: [rows] } },
      },
      'exports.stop': { id: exportId },
      'exports.programs': undefined,
      'exports.install': { id: exportId, program: 'ollama' },
      'exports.identify': { path: modelPath },
      'evaluate.start': { model, data: { paths: [rows] }, adapter: adapterPath },
      'evaluators.list': undefined,
      'evaluations.list': { projectId },
      'evaluations.get': { id: 'none' },
      'evaluations.rows': {
        ...{ id: 'none', offset: 0, limit: 2, contestants: ['base'] },
        cell: { a: 'base', b: 'adapter', measure: 'json', cell: 'only-a' },
      },
      'evaluations.report': { id: 'none' },
      'evaluations.text': { id: 'none', format: 'csv' },
      'evaluations.plan': { model, data: { paths: [rows] }, contestants: [{}], evaluators: ['loss'] },
      'evaluations.start': {
        ...{ projectId, name: 'Compared', model: { id: modelId }, data: { versionId }, split: 'train', attached: true },
        ...{ train: { data: { paths: [rows] } }, evaluators: ['loss', { name: 'regex', options: { pattern: 'a' } }] },
        contestants: [
          {},
          { adapter: { path: adapterPath } },
          { name: 'shots', shots: { count: 1, rule: 'seed' }, schema: true },
        ],
        ...{ schema: { type: 'object' }, seed: 1, maxTokens: 2, mostRows: 2, learningRows: 10, general: false },
      },
      'evaluations.stop': { id: 'none' },
      'evaluations.resume': { id: 'none' },
      'evaluations.rename': { id: 'none', name: 'Other' },
      'evaluations.remove': { id: 'none' },
      'data.rows': { model: { id: modelId }, data: { versionId }, split: 'train', offset: 0, limit: 2, maxLength: 64 },
      'data.row': { model: { id: modelId }, data: { versionId }, split: 'train', row: 0, maxLength: 64, day: '2026-01-01' },
      'data.pack': { model: { id: modelId }, data: { versionId }, split: 'train', row: 0, recipe: {} },
      'data.losses': {
        ...{ model: { id: modelId }, data: { versionId }, split: 'train' },
        adapter: null,
        row: 0,
        maxLength: 64,
      },
      'data.find': { model: { id: modelId }, data: { versionId }, split: 'train', text: 'a', from: 0 },
      'data.render': { model, data: { paths: [rows] }, offset: 0, day: '2026-01-01' },
      'data.report': {
        model: { id: modelId },
        data: { versionId },
        maxLength: 64,
        rowSettings: { addEosToken: true, thinking: 'row', unroll: 'last', foldSystem: true, media: 'drop' },
      },
      'data.record': { data: { versionId }, split: 'train', row: 0 },
      'data.place': { data: { versionId }, split: 'train', row: 0, in: { versionId } },
      'data.occurrences': { data: { versionId }, find: 'a', column: 'messages' },
      'data.values': { data: { versionId }, column: 'messages' },
      'data.write': { data: { versionId }, split: 'train', out: join(folder, 'written.jsonl') },
      'inspect.path': { path: modelPath },
      'sample.list': undefined,
      'sample.start': { sample: 'json-orders' },
      'sample.get': undefined,
      'sample.stop': undefined,
      'sample.compare': undefined,
      'paths.known': { paths: [modelPath] },
      'notices.take': undefined,
    },
    surroundings: () => contentOf(folder),
    close: () => {
      stranger.kill('SIGKILL');
      client.close();
      rmSync(folder, { recursive: true, force: true, maxRetries: 40, retryDelay: 300 });
    },
  };
}

function contentOf(folder: string): string {
  const hash = createHash('sha256');
  const names = ['home', 'temporary', 'given'].flatMap((part) =>
    readdirSync(join(folder, part), { recursive: true, withFileTypes: true }).map((one) => [
      one.isFile(),
      join(one.parentPath, one.name),
    ]),
  );
  for (const [isFile, path] of names.sort() as [boolean, string][]) hash.update(path).update(isFile ? readFileSync(path) : '');
  return hash.digest('hex');
}

/** Changes the examples at random. The same seed makes the same changes. */
export class Mutator {
  #state: number;
  readonly #strange: readonly unknown[];

  constructor(seed: number, pid: number) {
    this.#state = seed;
    let deep: unknown = 'end';
    for (let i = 0; i < 2000; i++) deep = i % 2 === 0 ? [deep] : { deep };
    this.#strange = [
      ...[null, undefined, true, false, 0, -0, -1, 1.5, 1e308, -1e308, Number.MAX_SAFE_INTEGER, 2 ** 53, 5e-324, pid],
      ...[
        '',
        ' ',
        'NaN',
        'Infinity',
        '-1',
        '\0',
        '\ud800',
        '../../given/precious.txt',
        'file:///given',
        '{}',
        "'; DROP TABLE runs; --",
      ],
      ...['x'.repeat(100_000), '\u001b[2J', 'none', '\u202egpj', 'constructor', '__proto__', 'toString'],
      ...[[], {}, [[]], [null], { length: 3 }, { id: 'none' }, { path: 'a' }, { id: 'none', path: 'a' }, deep],
      ...[Array.from({ length: 5000 }, (_, i) => i), JSON.parse('{"__proto__":{"id":"none"},"constructor":1}') as unknown],
      ...[{ type: 'Buffer', data: [1, 2] }, { toJSON: 1, then: 2, toString: 3 }, { process: { pid, started: null } }],
    ];
  }

  /** Returns a number from 0 up to, not including, `below`. */
  #next(below: number): number {
    this.#state = (Math.imul(this.#state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((this.#state / 2 ** 32) * below);
  }
  #any<T>(values: readonly T[]): T {
    return values[this.#next(values.length)]!;
  }

  change(value: unknown): unknown {
    const inner = typeof value === 'object' && value !== null ? Object.keys(value) : [];
    if (inner.length === 0 || this.#next(6) === 0) return this.#any(this.#strange);
    const changed = (Array.isArray(value) ? [...(value as unknown[])] : { ...(value as object) }) as Record<string, unknown>;
    const key = this.#any(inner);
    const what = this.#next(8);
    if (what === 0) delete changed[key];
    else if (what === 1) {
      const added = this.#any(['process', 'constructor', 'state', 'id', 'path', 'createdAt', 'toString', '__proto__']);
      Object.defineProperty(changed, added, {
        value: this.#any(this.#strange),
        enumerable: true,
        configurable: true,
        writable: true,
      });
    } else if (what === 2) changed[key] = this.#any(Object.values(changed));
    // Nothing but these tests stands between a place to write to and this machine.
    else if (key !== 'out') changed[key] = this.change(changed[key]);
    return changed;
  }
}

const isShaped = (name: Name, params: unknown): boolean => {
  try {
    checkRequest(name, params);
    return true;
  } catch {
    return false;
  }
};

/** Sends every request, changed `count` times, and expects an answer or a Problem that says what is wrong. */
export async function fuzz(
  host: FuzzedHost,
  options: { seed: number; count: number; skip?: readonly Name[] },
): Promise<number> {
  const mutator = new Mutator(options.seed, host.stranger.pid!);
  const before = host.surroundings();
  const bad: string[] = [];
  let passed = 0;
  for (const [name, example] of Object.entries(host.examples) as [Name, unknown][])
    await Promise.all(
      Array.from({ length: options.count }, async () => {
        let params = mutator.change(example);
        if (mutator.change(null) === null) params = mutator.change(params);
        // What is written as JSON is what arrives.
        const sent = params === undefined ? undefined : (JSON.parse(JSON.stringify(params)) as unknown);
        const shaped = isShaped(name, sent);
        if (shaped && options.skip?.includes(name) === true) return;
        if (shaped) passed++;
        try {
          await host.client.request(name, sent as never);
          if (!shaped) bad.push(`${name} ${shown(sent)}: answered in spite of its shape`);
        } catch (error) {
          const { code, message } = toProblemValue(error);
          if (code === 'internal') bad.push(`${name} ${shown(sent)}: ${message.slice(0, 500)}`);
        }
      }),
    );
  expect(bad).toEqual([]);
  expect(host.surroundings(), 'what lies beside the data folder').toBe(before);
  expect(host.stranger.exitCode ?? host.stranger.signalCode, 'the process of a stranger').toBeNull();
  await host.client.request('machine.get', undefined);
  return passed;
}

const shown = (value: unknown): string => JSON.stringify(value)?.slice(0, 300) ?? 'nothing';
