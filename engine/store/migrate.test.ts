import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import Database from 'better-sqlite3';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { checkWhole } from './check.ts';
import { migrations, versionOf } from './migrate.ts';
import type { VersionFile } from '../contract.ts';
import { openStore } from './open.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'lowrank-migrate-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const full = process.env['LOWRANK_TEST_FULL'] === '1';
const all = migrations.map((_, index) => index + 1);
const dump = (version: number) => fileURLToPath(new URL(`../testing/stored-versions/${version}.sql`, import.meta.url));

/** Makes a database as a studio of that version left it. */
function stored(version: number, place = folder): Database.Database {
  const db = new Database(join(place, 'studio.sqlite'));
  db.pragma('journal_mode = WAL');
  // Statements name things before they are there.
  db.pragma('foreign_keys = OFF');
  db.exec(readFileSync(dump(version), 'utf8'));
  return db;
}

type Content = Record<string, Record<string, unknown>[]>;
function contentOf(path: string): Content {
  const db = new Database(path, { readonly: true });
  const tables = db
    .prepare<[], { name: string }>("SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")
    .all();
  const content = Object.fromEntries(
    tables.map(({ name }) => [name, db.prepare<[], Record<string, unknown>>(`SELECT * FROM ${name}`).all()]),
  );
  expect(checkWhole(db)).toBeNull();
  expect(db.pragma('foreign_key_check')).toEqual([]);
  db.close();
  return content;
}
/** The same with the evaluation losses of runs where they went to: among all measures, and in sum at their run. */
function measured({ eval_metrics: losses = [], ...before }: Content): Content {
  const measures = losses.map(({ run_id, step, eval_loss }) => ({
    ...{ subject_kind: 'run', subject_id: run_id, step, name: 'loss', value: eval_loss },
  }));
  const runs = before['runs']!.map(({ last_eval_loss: last, best_eval_loss: best, ...run }) => ({
    ...run,
    ...(typeof best === 'number' ? { measures: JSON.stringify({ loss: { last, best, bestStep: 2 } }) } : {}),
  }));
  return { measures, ...before, runs };
}
/** Checks that everything is still there with the same values; columns and tables may have come. */
function expectKept(before: Content, after: Content): void {
  const versions = after['dataset_versions'];
  for (const [table, rows] of Object.entries('eval_metrics' in after ? before : measured(before))) {
    expect(after[table], table).toHaveLength(rows.length);
    rows.forEach((row, index) => {
      const now = after[table]![index]!;
      if (table === 'datasets' && versions !== undefined && 'train_paths' in row) expectVersion(row, versions);
      else if (
        (table === 'runs' || table === 'queue') &&
        versions !== undefined &&
        (row['job'] as string).includes('dataPaths')
      )
        expectJob(row, now);
      else expect(now, table).toMatchObject(row);
    });
  }
}

/** Moves what a data set held to its first version. */
function expectVersion(row: Record<string, unknown>, versions: Content[string]): void {
  const { train_paths, eval_paths, format, train_rows, eval_rows, hash } = row;
  const version = versions.find(({ dataset_id }) => dataset_id === row['id']);
  expect(version).toMatchObject({ sequence: 1, format, train_rows, eval_rows, hash });
  const files = JSON.parse(version!['files'] as string) as VersionFile[];
  const pathsOf = (split: string) => files.filter((file) => file.split === split).map(({ path }) => path);
  expect([pathsOf('train'), pathsOf('eval')]).toEqual(
    [train_paths, eval_paths].map((paths) => JSON.parse(paths as string) as unknown),
  );
}

/** Puts the paths of a run's data together, as later versions do. */
function expectJob({ job, ...row }: Record<string, unknown>, now: Record<string, unknown>): void {
  expect(now).toMatchObject(row);
  const { dataPaths, evalPaths = [], ...more } = JSON.parse(job as string) as Record<string, unknown>;
  expect(JSON.parse(now['job'] as string)).toEqual({
    ...more,
    ...(dataPaths !== undefined && { data: { paths: dataPaths, evalPaths } }),
  });
}

test('there is a stored database of every version', () => {
  expect(
    all.filter((version) => !existsSync(dump(version))),
    'node engine/testing/stored-versions/make.ts writes them',
  ).toEqual([]);
});

test.each(all)('a database of version %i has all it had, and a backup of itself', (version) => {
  stored(version).close();
  const path = join(folder, 'studio.sqlite');
  const before = contentOf(path);
  const store = openStore(folder);
  expect(store.runs.list().map(({ state, lastLoss }) => [state, lastLoss])).toEqual([
    ['done', 2.5],
    ['failed', 4],
    ['interrupted', null],
  ]);
  expect(store.runs.get('r')).toMatchObject({
    seconds: 1,
    peakMemory: 3000,
    measures: { loss: { last: 1.75, best: 1.5, bestStep: 2 } },
  });
  expect(store.metrics.rateOf('/models/tiny')).toEqual({ tokensPerSecond: 48, measuredBy: 'First' });
  expect(store.models.list('p')).toHaveLength(1);
  const datasets = store.datasets.list('p');
  expect(datasets.filter(({ id }) => id !== 'x')).toMatchObject([
    {
      id: 'd',
      version: {
        sequence: 1,
        trainRows: 3,
        files: [{ path: '/a.jsonl', split: 'train', sha256: 'h' }],
        mapping: null,
        mix: null,
      },
    },
  ]);
  const mixed = { parts: [{ name: 'rows', repeat: 1.5, version: { id: 'd-1' } }], seed: 7 };
  expect(datasets.filter(({ id }) => id === 'x')).toMatchObject(version < 13 ? [] : [{ version: { mix: mixed } }]);
  expect(store.runs.job('r')!.data.paths).toEqual(['/a.jsonl']);
  expect(store.adapters.list('p')).toHaveLength(1);
  expect(store.exports.list('p')).toHaveLength(1);
  const evaluation = { id: 'v', contestants: ['base', 'First'], looks: 0, verdict: { code: 'cannot-tell' } };
  expect(store.evaluations.list('p')).toMatchObject(version < 14 ? [] : [evaluation]);
  expect(store.notices.take()).toEqual([]);
  store.close();
  expectKept(before, contentOf(path));
  const backups = existsSync(join(folder, 'backups')) ? readdirSync(join(folder, 'backups')) : [];
  expect(backups).toHaveLength(version < migrations.length ? 1 : 0);
  for (const name of backups) {
    expect(name).toMatch(new RegExp(`^00001-version-${version}-`));
    expect(contentOf(join(folder, 'backups', name))).toEqual(before);
  }
});

test('what an old studio had only in its log when it was killed is migrated too', () => {
  const place = join(folder, 'running');
  mkdirSync(place);
  const db = stored(1, place);
  for (const ending of ['', '-wal', '-shm'])
    cpSync(join(place, `studio.sqlite${ending}`), join(folder, `studio.sqlite${ending}`));
  const before = contentOf(join(place, 'studio.sqlite'));
  db.close();
  openStore(folder).close();
  expectKept(before, contentOf(join(folder, 'studio.sqlite')));
});

test('three backups from before the same migration are kept', () => {
  for (let second = 0; second < 5; second++) {
    stored(2).close();
    openStore(folder).close();
    for (const ending of ['', '-wal', '-shm']) rmSync(join(folder, `studio.sqlite${ending}`), { force: true });
  }
  stored(2).close();
  openStore(folder).close();
  const numbers = readdirSync(join(folder, 'backups')).map((name) => name.slice(0, 'xxxxx-version-2'.length));
  expect(numbers.sort()).toEqual(['00004-version-2', '00005-version-2', '00006-version-2']);
});

test('a migration that is killed anywhere has happened wholly or not at all', { timeout: 600_000 }, () => {
  const child = (place: string, at: number) =>
    spawnSync(
      process.execPath,
      [fileURLToPath(new URL('../testing/killed-migration.ts', import.meta.url)), place, String(at)],
      {
        encoding: 'utf8',
      },
    );
  for (const version of full ? all.slice(0, -1) : [1]) {
    const original = join(folder, `version-${version}`);
    mkdirSync(original);
    stored(version, original).close();
    const before = contentOf(join(original, 'studio.sqlite'));
    const whole = join(folder, 'whole');
    cpSync(original, whole, { recursive: true });
    const calls = Number(child(whole, 0).stdout);
    expect(calls).toBeGreaterThan(15);
    // All of them take minutes.
    const stride = full ? 1 : Math.ceil(calls / 4);
    for (let at = 1; at <= calls; at += stride) {
      const place = join(folder, `killed-${version}-${at}`);
      cpSync(original, place, { recursive: true });
      expect(child(place, at).signal, `at ${at}`).toBe('SIGKILL');
      const path = join(place, 'studio.sqlite');
      const between = new Database(path);
      expect(versionOf(between), `at ${at}`).toBeGreaterThanOrEqual(version);
      between.close();
      expectKept(before, contentOf(path));
      const store = openStore(place);
      expect(store.notices.take(), `at ${at}`).toEqual([]);
      store.close();
      expectKept(before, contentOf(path));
      rmSync(place, { recursive: true });
    }
    rmSync(whole, { recursive: true });
  }
});
