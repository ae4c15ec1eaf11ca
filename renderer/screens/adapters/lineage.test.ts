import { expect, test } from 'vitest';
import type { AdapterVersion, ExportRecord } from '../../../engine/contract.ts';
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
  const columns = { base: 0, run: 1, version: 2, export: 3 };
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
