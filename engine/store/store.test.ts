import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { EvalMetrics, Run, StepMetrics } from '../contract.ts';
import type { Measures } from '../measures.ts';
import { defaultRecipe } from '../recipe.ts';
import { initial } from './migrations/001-initial.ts';
import { job, runOf, stepOf, versionOf } from '../testing/filled-store.ts';
import { openStore } from './open.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'lowrank-store-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const run = (id: string): Run =>
  runOf(id, {
    ...{ name: 'First', state: 'running', phase: 'training', modelId: null, datasetId: null, out: '/runs/first' },
    recipe: { ...defaultRecipe(), rank: 7 },
  });

test('what is written is there after closing and opening again', () => {
  let store = openStore(folder);
  store.projects.insert({ id: 'p', name: 'Übung', createdAt: 1 });
  store.runs.insert(run('r'), job);
  store.runs.update('r', { tags: ['a', 'b'], process: { pid: 4, started: '77' }, totalSteps: 12 });
  store.metrics.put(
    'r',
    [stepOf(1, 3), stepOf(2, 2), stepOf(3, 2.5)],
    [
      { step: 2, evalLoss: 1.5 },
      { step: 3, evalLoss: 1.75 },
    ],
  );
  store.close();

  store = openStore(folder);
  const read = store.runs.get('r')!;
  expect(read.recipe.rank).toBe(7);
  expect(read).toMatchObject({ tags: ['a', 'b'], totalSteps: 12, lastLoss: 2.5 });
  expect(read).toMatchObject({ seconds: 1.5, peakMemory: 103, measures: { loss: { last: 1.75, best: 1.5, bestStep: 2 } } });
  expect(store.runs.inState('running')[0]!.process).toEqual({ pid: 4, started: '77' });
  expect(store.runs.job('r')).toEqual(job);
  store.close();
});

test('a run of an earlier studio has the defaults of settings that came later, and no end of documents', () => {
  const store = openStore(folder);
  store.projects.insert({ id: 'p', name: 'P', createdAt: 1 });
  store.runs.insert({ ...run('r'), recipe: { rank: 3 } as Run['recipe'] }, job);
  expect(store.runs.get('r')!.recipe).toEqual({
    ...defaultRecipe(),
    addEosToken: false,
    promptFormat: 'text',
    longDocuments: 'cut',
    rank: 3,
  });
  store.close();
});

test('the paths it knows are those in its tables, in their spelling', () => {
  const store = openStore(folder);
  store.projects.insert({ id: 'p', name: 'P', createdAt: 1 });
  store.runs.insert(run('r'), job);
  const [trainPaths, evalPaths] = [['/a.jsonl', '/b.jsonl'], ['/c.jsonl']];
  store.datasets.insert({ id: 'd', projectId: 'p', name: 'D', createdAt: 1, version: versionOf('d', trainPaths, evalPaths) });
  const asked = ['/runs/first', '/models/tiny', '/b.jsonl', '/c.jsonl', '/c.jsonl/', '/runs', 'P', ''];
  expect(store.knownPaths.among(asked).sort()).toEqual(['/b.jsonl', '/c.jsonl', '/models/tiny', '/runs/first']);
  store.close();
  // A list that cannot be read costs its own paths alone.
  const db = new Database(join(folder, 'studio.sqlite'));
  db.exec("UPDATE dataset_versions SET files = '[\"/a'");
  db.close();
  const again = openStore(folder);
  expect(again.knownPaths.among(asked).sort()).toEqual(['/models/tiny', '/runs/first']);
  again.close();
});

test('a resumed run replaces the steps it measures again', () => {
  const store = openStore(folder);
  store.projects.insert({ id: 'p', name: 'P', createdAt: 1 });
  store.runs.insert(run('r'), job);
  store.metrics.put('r', [stepOf(1, 3), stepOf(2, 2), stepOf(3, 1)], []);
  store.metrics.removeAfter('r', 1);
  store.metrics.put('r', [stepOf(2, 2.25)], []);
  expect(store.metrics.steps('r', 0).map((m) => m.loss)).toEqual([3, 2.25]);
  store.close();
});

test('metrics come in pages that leave nothing out, whichever there are more of', () => {
  const store = openStore(folder);
  store.projects.insert({ id: 'p', name: 'P', createdAt: 1 });
  store.runs.insert(run('r'), job);
  const steps = Array.from({ length: 25 }, (_, index) => stepOf(index + 1, index));
  const evaluations = [0, 1, 2, 3, 4, 5, 6, 7, 8, 20, 25].map((at) => ({ step: at, evalLoss: at }));
  store.metrics.put('r', steps, evaluations);
  for (const most of [1, 4, 7, 24, 25, 100]) {
    const read = { steps: [] as StepMetrics[], evaluations: [] as EvalMetrics[] };
    for (let more = true, after = -1; more;) {
      const page = store.metrics.page('r', after, most);
      expect(Math.max(page.steps.length, page.evaluations.length)).toBeLessThanOrEqual(most);
      read.steps.push(...page.steps);
      read.evaluations.push(...page.evaluations);
      more = page.more;
      after = Math.max(page.steps.at(-1)?.step ?? -1, page.evaluations.at(-1)?.step ?? -1);
    }
    expect(read).toEqual({ steps, evaluations });
  }
  store.close();
});

test('of a very long log the newest lines are told, and how many there were before', () => {
  const store = openStore(folder);
  store.projects.insert({ id: 'p', name: 'P', createdAt: 1 });
  store.runs.insert(run('r'), job);
  for (let at = 1; at <= 7; at++) store.log.add('r', { at, text: `Line ${at}.` });
  expect(store.log.list('r', 7)).toHaveLength(7);
  expect(store.log.list('r', 2).map(({ text }) => text)).toEqual(['5 earlier lines are not shown.', 'Line 6.', 'Line 7.']);
  store.close();
});

test('what the metrics of a run come to is right whichever steps are added, replaced or removed', () => {
  const store = openStore(folder);
  store.projects.insert({ id: 'p', name: 'P', createdAt: 1 });
  store.runs.insert(run('r'), job);
  const evaluation = (at: number, evalLoss: number) => ({ step: at, evalLoss });
  const totals = () => {
    const { seconds, peakMemory, lastLoss, measures } = store.runs.get('r')!;
    return [seconds, peakMemory, lastLoss, measures.loss?.last ?? null, measures.loss?.best ?? null];
  };
  expect(totals()).toEqual([0, 0, null, null, null]);
  expect(store.metrics.rateOf(store.runs.get('r')!.modelPath)).toBeNull();
  store.metrics.put('r', [stepOf(1, 5)], [evaluation(0, 3)]);
  store.metrics.put('r', [stepOf(2, 4), { ...stepOf(3, 6), memory: 900, seconds: 2 }], [evaluation(3, 2)]);
  store.metrics.put('r', [stepOf(4, 7)], [evaluation(4, 2.5)]);
  expect(totals()).toEqual([3.5, 900, 7, 2.5, 2]);
  expect(store.metrics.rateOf(store.runs.get('r')!.modelPath)).toMatchObject({ tokensPerSecond: 36 / 3 });
  store.metrics.put('r', [{ ...stepOf(3, 6.5), seconds: 1 }], [evaluation(3, 2.25)]);
  expect(totals()).toEqual([2.5, 104, 7, 2.5, 2.25]);
  store.metrics.removeAfter('r', 2);
  expect(totals()).toEqual([1, 102, 4, 3, 3]);
  store.metrics.put('r', [], [evaluation(2, 1)]);
  expect(totals()).toEqual([1, 102, 4, 1, 1]);
  store.metrics.removeAfter('r', -1);
  expect(totals()).toEqual([0, 0, null, null, null]);
  store.close();
});

test('a transaction that throws leaves nothing behind, and rows of nobody are refused', () => {
  const store = openStore(folder);
  expect(() =>
    store.transaction(() => {
      store.projects.insert({ id: 'p', name: 'P', createdAt: 1 });
      throw new Error('no');
    }),
  ).toThrow('no');
  expect(store.projects.list()).toEqual([]);
  expect(() => store.runs.insert(run('r'), job)).toThrow(/FOREIGN KEY/);
  store.close();
});

test('a file of a newer studio is named and stays byte for byte what it was', () => {
  openStore(folder).close();
  const path = join(folder, 'studio.sqlite');
  const db = new Database(path);
  db.pragma('user_version = 99');
  db.pragma('journal_mode = DELETE');
  db.close();
  const hash = () => createHash('sha256').update(readFileSync(path)).digest('hex');
  const before = hash();
  expect(() => openStore(folder)).toThrow(expect.objectContaining({ code: 'store-newer' }));
  expect(hash()).toBe(before);
});

test('runs of the first tables keep their state, and with the newer ones can be paused', () => {
  const path = join(folder, 'studio.sqlite');
  const old = new Database(path);
  old.exec(initial);
  old.pragma('user_version = 1');
  old.exec(`
    INSERT INTO projects (id, name, created_at) VALUES ('p', 'P', 1);
    INSERT INTO runs (id, project_id, name, colour, state, phase, model_name, model_path, dataset_name, job, recipe, device, out, created_at)
      VALUES ('r', 'p', 'R', 1, 'interrupted', '', 'm', '/m', 'd', '{}', '{}', 'cpu', '/r', 1);
    INSERT INTO eval_metrics VALUES ('r', 3, 0.5);
  `);
  old.close();
  const store = openStore(folder);
  expect(store.runs.get('r')).toMatchObject({ state: 'interrupted', measures: { loss: { last: 0.5 } } });
  store.runs.update('r', { state: 'paused' });
  expect(store.runs.get('r')!.state).toBe('paused');
  expect(() => store.runs.update('r', { state: 'nonsense' as 'paused' })).toThrow('CHECK');
  store.close();
});

test('only the newest checkpoints are remembered', () => {
  const store = openStore(folder);
  store.projects.insert({ id: 'p', name: 'P', createdAt: 1 });
  store.runs.insert(run('r'), job);
  for (const n of [10, 20, 30]) store.checkpoints.put('r', { step: n, path: `/c/${n}`, bytes: 1, createdAt: n }, 2);
  expect(store.checkpoints.list('r').map((c) => c.step)).toEqual([20, 30]);
  store.close();
});

test('a run keeps the last and the best of every measure, each as it counts, and forgets what is measured anew', () => {
  const store = openStore(folder);
  store.projects.insert({ id: 'p', name: 'P', createdAt: 1 });
  store.runs.insert(run('r'), job);
  store.runs.insert({ ...run('s'), out: '/runs/s' }, job);
  const evaluation = (at: number, evalLoss: number, right: number) => ({
    ...{ step: at, evalLoss, measures: { 'json-fields': right } },
  });
  store.metrics.put('r', [], [evaluation(0, 3, 0.5), evaluation(2, 2, 0.75)]);
  store.metrics.put('r', [], [evaluation(4, 2.5, 0.75)]);
  store.metrics.put('s', [], [evaluation(1, 1, 1)]);
  expect(store.runs.get('r')!.measures).toEqual({
    loss: { last: 2.5, best: 2, bestStep: 2 },
    'json-fields': { last: 0.75, best: 0.75, bestStep: 2 },
  });
  expect(store.metrics.evaluations('r', 0)).toEqual([evaluation(2, 2, 0.75), evaluation(4, 2.5, 0.75)]);
  store.metrics.removeAfter('r', 2);
  store.metrics.put('r', [], [evaluation(1, 1.5, 1)]);
  expect(store.runs.get('r')!.measures).toEqual({
    loss: { last: 2, best: 1.5, bestStep: 1 },
    'json-fields': { last: 0.75, best: 1, bestStep: 1 },
  });
  // What another studio has measured beside it means nothing here.
  store.metrics.put('r', [], [{ step: 6, evalLoss: 1.25, measures: { bleu: 9 } as Measures }]);
  expect(store.runs.get('r')!.measures).toMatchObject({ loss: { last: 1.25 }, 'json-fields': { last: 0.75 } });
  expect(store.runs.get('r')!.measures).not.toHaveProperty('bleu');
  expect(store.metrics.evaluations('r', 2)).toEqual([{ step: 6, evalLoss: 1.25 }]);
  store.close();
});

test('measures go with their run, also when its project goes, and are never of a run that is not there', () => {
  const store = openStore(folder);
  store.projects.insert({ id: 'p', name: 'P', createdAt: 1 });
  store.runs.insert(run('r'), job);
  store.runs.insert({ ...run('s'), out: '/runs/s' }, job);
  for (const id of ['r', 's']) store.metrics.put(id, [], [{ step: 1, evalLoss: 1 }]);
  expect(() => store.metrics.put('nobody', [], [{ step: 1, evalLoss: 1 }])).toThrow('no such run');
  store.runs.remove('r');
  expect(store.metrics.evaluations('r', -1)).toEqual([]);
  expect(store.metrics.evaluations('s', -1)).toHaveLength(1);
  store.close();
  const db = new Database(join(folder, 'studio.sqlite'));
  db.pragma('foreign_keys = ON');
  db.exec("DELETE FROM projects WHERE id = 'p'");
  expect(db.prepare('SELECT * FROM measures').all()).toEqual([]);
  db.close();
});

test('a model that an earlier studio stored has each of its matrices in every layer', () => {
  const store = openStore(folder);
  store.projects.insert({ id: 'p', name: 'Project', createdAt: 1 });
  store.close();
  const db = new Database(join(folder, 'studio.sqlite'));
  const linears = [{ name: 'q_proj', path: 'model.layers.{layer}.self_attn.q_proj', outFeatures: 4, inFeatures: 8 }];
  db.prepare('INSERT INTO models (id, project_id, path, embedded, info, created_at) VALUES (?, ?, ?, 0, ?, 1)').run(
    ...['m', 'p', '/models/old', JSON.stringify({ family: 'llama', layers: 3, linears })],
  );
  db.close();
  const again = openStore(folder);
  expect(again.models.list('p')[0]).toMatchObject({ acceptFields: [], linears: [{ ...linears[0]!, layers: [0, 1, 2] }] });
  again.close();
});
