import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { job, runOf, stepOf } from '../testing/filled-store.ts';
import { openStore } from './open.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'lowrank-power-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const full = process.env['LOWRANK_TEST_FULL'] === '1';
const commits = 30;

test('only the transaction that says so is not flushed, also where it fails', () => {
  const pragma = vi.spyOn(Database.prototype, 'pragma');
  const store = openStore(folder);
  pragma.mockClear();
  const set = () => pragma.mock.calls.map(([source]) => source);
  store.unflushed(() => expect(set()).toEqual(['synchronous = NORMAL']));
  expect(set().at(-1)).toBe('synchronous = FULL');
  expect(() =>
    store.unflushed(() => {
      throw new Error('no');
    }),
  ).toThrow('no');
  expect(set().at(-1)).toBe('synchronous = FULL');
  pragma.mockRestore();
  store.close();
});

/**
 * With `synchronous = FULL` a commit is answered when its frames are on the disk. A power loss leaves those, and of what was written
 * after them any part: nothing, some of the bytes, or other bytes.
 */
test('after a power loss every commit that was answered is there, and none in part', { timeout: 600_000 }, () => {
  const live = join(folder, 'live');
  mkdirSync(live);
  const log = join(live, 'studio.sqlite-wal');
  const store = openStore(live);
  store.projects.insert({ id: 'p', name: 'P', createdAt: 1 });
  store.runs.insert(runOf('r', { modelId: null, datasetId: null }), job);
  /** Length of the log when a commit was answered. */
  const answered: number[] = [];
  for (let commit = 1; commit <= commits; commit++) {
    store.unflushed(() => store.metrics.put('r', [stepOf(2 * commit - 1, 1), stepOf(2 * commit, 2)], []));
    store.transaction(() => {
      store.metrics.put('r', [], [{ step: 2 * commit, evalLoss: commit }]);
      store.log.add('r', { at: commit, text: `Commit ${commit}. ${'word '.repeat(300)}` });
    });
    answered.push(statSync(log).size);
  }
  const written = { database: readFileSync(join(live, 'studio.sqlite')), log: readFileSync(log) };
  store.close();
  expect(answered.at(-1)).toBe(written.log.length);

  const stride = full ? 997 : 40_009;
  for (let length = answered[0]!; length <= written.log.length; length += stride)
    for (const torn of ['nothing', 'zeros', 'other bytes'] as const) {
      const place = join(folder, `${length}-${torn}`);
      mkdirSync(place);
      writeFileSync(join(place, 'studio.sqlite'), written.database);
      const bytes = Buffer.from(written.log);
      if (torn !== 'nothing') bytes.fill(torn === 'zeros' ? 0 : 0x6b, length);
      writeFileSync(join(place, 'studio.sqlite-wal'), torn === 'nothing' ? bytes.subarray(0, length) : bytes);
      const opened = openStore(place);
      const due = answered.filter((size) => size <= length).length;
      const message = `${length} bytes, then ${torn}`;
      expect(
        opened.log.list('r').map(({ at }) => at),
        message,
      ).toEqual(Array.from({ length: due }, (_, index) => index + 1));
      // What was not flushed by itself is there with the next commit that was answered, and may be before that.
      const steps = opened.metrics.steps('r', 0).length;
      expect([2 * due, 2 * due + 2], message).toContain(steps);
      expect(opened.metrics.evaluations('r', 0), message).toHaveLength(due);
      expect(opened.notices.take(), message).toEqual([]);
      opened.close();
      rmSync(place, { recursive: true });
    }
});
