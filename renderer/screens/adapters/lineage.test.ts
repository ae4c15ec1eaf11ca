import { expect, test } from 'vitest';
import type { AdapterVersion, ExportRecord, MixOrigin } from '../../../engine/contract.ts';
import { lineage, related } from './lineage.ts';

const adapter = (id: string, runId: string | null, step: number | null): AdapterVersion =>
  ({ id, runId, runName: runId, step, name: id, modelId: 'base', modelName: 'base' }) as AdapterVersion;
const exported = (id: string, adapterId: string, state = 'done'): ExportRecord =>
  ({ id, adapterId, state, format: 'gguf' }) as ExportRecord;

const picture = lineage(
  [adapter('late', 'run', 20), adapter('early', 'run', 10), adapter('foreign', null, null)],
  [exported('one', 'late'), exported('two', 'late'), exported('broken', 'late', 'failed')],
);
const at = (key: string) => picture.nodes.find((node) => node.key === key)?.row;

test('leaves have rows of their own and parents stand in the middle', () => {
  expect(picture.rows).toBe(4);
  expect([at('version:early'), at('export:one'), at('export:two'), at('version:foreign')]).toEqual([0, 1, 2, 3]);
  expect(at('version:late')).toBe(1.5);
  expect(at('run:run')).toBe(0.75);
});

test('every node stands under the heading of its kind, also an adapter that no run has made', () => {
  const columns = { base: 0, run: 1, version: 2, mix: 3, export: 3 };
  expect(picture.nodes.map(({ kind, column }) => column === columns[kind])).not.toContain(false);
});

test('an imported adapter hangs at its base, a failed export is not shown', () => {
  expect(picture.edges).toContainEqual(['base:base', 'version:foreign']);
  expect(at('export:broken')).toBeUndefined();
});

test('the line of a version leaves its siblings out', () => {
  expect([...related(picture, 'version:late')].sort()).toEqual([
    'base:base',
    'export:one',
    'export:two',
    'run:run',
    'version:late',
  ]);
});

const mixOf = (...parents: string[]): MixOrigin => ({
  mix: { method: 'cat' },
  parents: parents.map((adapterId) => ({ name: adapterId, weight: 1, adapterId })),
});

test('a mix hangs at each of its parents, one column behind them, and exports stand behind all', () => {
  const mixes = { blend: mixOf('late', 'foreign', 'foreign'), twice: mixOf('blend', 'early'), loose: mixOf('elsewhere') };
  const mixed = lineage(
    // The newest first.
    [
      ...['twice', 'blend', 'loose', 'foreign'].map((id) => adapter(id, null, null)),
      adapter('late', 'run', 20),
      adapter('early', 'run', 10),
    ],
    [exported('one', 'twice'), exported('two', 'late')],
    mixes,
  );
  const node = (id: string) => mixed.nodes.find(({ key }) => key === id)!;
  expect(mixed.mixColumns).toBe(2);
  expect([node('version:blend'), node('version:twice')]).toMatchObject([
    { kind: 'mix', column: 3 },
    { kind: 'mix', column: 4 },
  ]);
  expect([node('export:one').column, node('export:two').column]).toEqual([5, 5]);
  const into = (key: string) => mixed.edges.filter(([, to]) => to === key).map(([from]) => from);
  expect(into('version:blend')).toEqual(['version:late', 'version:foreign']);
  expect(into('version:twice')).toEqual(['version:blend', 'version:early']);
  // A mix whose parents are not in the project is what somebody gave us.
  expect(into('version:loose')).toEqual(['base:base']);
  expect(new Set(mixed.edges.map(String)).size).toBe(mixed.edges.length);
  expect(new Set(mixed.nodes.map(({ row, column }) => `${row} ${column}`)).size).toBe(mixed.nodes.length);
  expect(related(mixed, 'version:blend')).toEqual(
    new Set(['version:blend', 'version:late', 'version:foreign', 'version:twice', 'export:one', 'run:run', 'base:base']),
  );
});

test('folders that name each other as parents are drawn all the same', () => {
  const circle = lineage([adapter('a', null, null), adapter('b', null, null)], [], { a: mixOf('b'), b: mixOf('a', 'b') });
  expect(circle.nodes).toHaveLength(3);
});
