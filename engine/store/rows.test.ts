import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { filledStore, job, runOf } from '../testing/filled-store.ts';
import { openStore, type Store } from './open.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'lowrank-rows-'));
  vi.spyOn(console, 'error').mockImplementation(() => {});
});
afterEach(() => {
  vi.restoreAllMocks();
  rmSync(folder, { recursive: true, force: true });
});

/** Lists every column that holds JSON, the list that shows its rows, and how one of them is requested. */
const cases: [string, string, (store: Store) => readonly unknown[], (store: Store) => unknown][] = [
  ['runs', 'recipe', (store) => store.runs.list('p'), (store) => store.runs.get('r1')],
  ['runs', 'tags', (store) => store.runs.list('p'), (store) => store.runs.byOut('/runs/r1')],
  ['runs', 'measures', (store) => store.runs.list('p'), (store) => store.runs.get('r1')],
  ['runs', 'problem', (store) => store.runs.list(), (store) => store.runs.get('r1')],
  ['runs', 'process', (store) => store.runs.inState('done'), () => null],
  ['runs', 'job', (store) => [store.runs.job('r2')], (store) => store.runs.job('r1')],
  ['models', 'info', (store) => store.models.list('p'), (store) => store.models.get('m1')],
  ['dataset_versions', 'files', (store) => store.datasets.list('p'), (store) => store.datasets.get('d1')],
  ['dataset_versions', 'mapping', (store) => store.datasets.list('p'), (store) => store.datasets.get('d1')],
  ['adapters', 'target_modules', (store) => store.adapters.list('p'), (store) => store.adapters.get('a1')],
  ['exports', 'proof', (store) => store.exports.list('p'), (store) => store.exports.get('e1')],
  ['exports', 'files', (store) => store.exports.list('p'), (store) => store.exports.get('e1')],
  ['exports', 'problem', (store) => store.exports.list('p'), (store) => store.exports.get('e1')],
  ['memory_measures', 'recipe', (store) => store.memory.of('/models/tiny'), () => null],
];

/** Lists damaged contents: no JSON, half of it, and JSON that is something else. */
const nonsense = ['', '{"half": ', 'null', '7', '"text"'];

test.each(cases)('a row of %s with a damaged %s costs that row alone, and is named', (table, column, list, one) => {
  filledStore(folder, { runs: 2, steps: 1 }).close();
  for (const value of nonsense) {
    const db = new Database(join(folder, 'studio.sqlite'));
    // One row of each kind beside the one that is damaged.
    double(db);
    db.prepare(`UPDATE ${table} SET ${column} = ? WHERE rowid = (SELECT min(rowid) FROM ${table})`).run(value);
    const id = ['runs', 'models', 'datasets', 'adapters', 'exports'].includes(table)
      ? (db.prepare(`SELECT id FROM ${table} ORDER BY sequence`).get() as { id: string }).id
      : null;
    db.close();
    const store = openStore(folder);
    expect(list(store), value).toHaveLength(1);
    if (column !== 'job') {
      const notices = store.notices.take();
      expect(notices).toHaveLength(1);
      // A data set that has no version it could show is what a person misses.
      expect(notices[0]!.message).toContain(`table ${table === 'dataset_versions' ? 'datasets' : table}`);
      expect(notices[0]!.message).toContain(`'${column}'`);
      if (id !== null) expect(notices[0]!.message).toContain(id);
    }
    const asked = () => one(store);
    if (table !== 'memory_measures' && column !== 'process')
      expect(asked).toThrow(
        expect.objectContaining({ code: 'store-damaged', message: expect.stringContaining(`'${column}'`) }),
      );
    store.close();
  }
});

/** Gives every table with JSON two rows, the first named with a 1. */
function double(db: Database.Database): void {
  for (const [table, letter] of Object.entries({ models: 'm', datasets: 'd', adapters: 'a', exports: 'e' })) {
    db.pragma('foreign_keys = OFF');
    if ((db.prepare(`SELECT count(*) AS count FROM ${table}`).get() as { count: number }).count > 1) continue;
    const columns = (db.pragma(`table_info(${table})`) as { name: string }[]).map(({ name }) => name);
    const others = columns.filter((name) => !['sequence', 'id', 'path'].includes(name));
    const path = columns.includes('path') ? ', path' : '';
    db.exec(`UPDATE ${table} SET id = '${letter}1'`);
    db.exec(
      `INSERT INTO ${table} (id${path}, ${others.join(', ')})
         SELECT '${letter}2'${path === '' ? '' : ", path || '2'"}, ${others.join(', ')} FROM ${table}`,
    );
  }
  db.exec(
    `UPDATE dataset_versions SET dataset_id = 'd1' WHERE dataset_id = 'd';
     INSERT OR IGNORE INTO dataset_versions (id, dataset_id, sequence, files, mapping, format, train_rows, eval_rows, hash, created_at)
       SELECT 'd2-v1', 'd2', sequence, files, mapping, format, train_rows, eval_rows, hash, created_at
       FROM dataset_versions`,
  );
  db.exec(
    `INSERT OR IGNORE INTO memory_measures (model_path, recipe, longest, bytes, run_name) VALUES ('/models/tiny', '{}', 99, 1, 'r')`,
  );
}

test('a sample whose state cannot be read can be started again', () => {
  filledStore(folder, { runs: 1, steps: 1 }).close();
  const db = new Database(join(folder, 'studio.sqlite'));
  db.exec("INSERT INTO sample VALUES (1, '{')");
  db.close();
  const store = openStore(folder);
  expect(store.sampleProject.get()).toBeNull();
  expect(store.notices.take()).toHaveLength(1);
  store.close();
});

test('answers of a run are read with their verdicts, and one that cannot be read costs itself alone', () => {
  const store = filledStore(folder, { runs: 1, steps: 1 });
  const verdict = { evaluator: 'exact-match', state: 'good', text: 'as expected', measures: { 'exact-match': 1 } } as const;
  const sample = { step: 2, prompt: 0, promptText: 'Say it', expected: 'it', text: 'it', verdict };
  store.samples.put('r1', sample);
  expect(store.samples.list('r1')[1]).toEqual(sample);
  store.close();
  const db = new Database(join(folder, 'studio.sqlite'));
  db.exec("UPDATE samples SET verdict = '[]' WHERE step = 2");
  db.close();
  const opened = openStore(folder);
  expect(opened.samples.list('r1').map(({ step }) => step)).toEqual([1]);
  expect(opened.notices.take()[0]!.message).toContain("'verdict'");
  opened.close();
});

test('of many damaged rows a few are named, once', () => {
  const store = filledStore(folder, { runs: 0, steps: 1 });
  store.transaction(() => {
    for (let number = 0; number < 20; number++) store.runs.insert(runOf(`x${number}`), job);
    store.runs.insert(runOf('sound'), job);
  });
  store.close();
  const db = new Database(join(folder, 'studio.sqlite'));
  db.exec("UPDATE runs SET recipe = '[' WHERE id <> 'sound'");
  db.close();
  const opened = openStore(folder);
  for (let time = 0; time < 3; time++) expect(opened.runs.list('p').map(({ id }) => id)).toEqual(['sound']);
  const [notice, ...more] = opened.notices.take();
  expect(more).toEqual([]);
  expect(notice!.message).toMatch(/^20 rows of the table runs .* and 15 more\.$/);
  opened.close();
});
