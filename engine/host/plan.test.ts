import { expect, test } from 'vitest';
import type { AddedFiles, DataReport, Dataset, Model } from '../contract.ts';
import type { Store } from '../store/open.ts';
import type { Asker } from './context.ts';
import type { LongLived } from './long-lived.ts';
import { planForRun } from './plan.ts';

test('a plan says that the files of its data set have changed since', async () => {
  const model = { id: 'm', path: '/model', parameters: 1 } as Model;
  const store = {
    models: { get: () => model },
    metrics: { rateOf: () => null },
    memory: { of: () => [] },
  } as unknown as Store;
  const { signal } = new AbortController();
  const asker: Asker = { client: { gone: signal, tell: () => {} }, signal };
  const asked: (AddedFiles | undefined)[] = [];
  const notesOf = async (changed: boolean, evalPaths: string[]) => {
    const check = { severity: 'warning', title: changed ? 'Changed' : 'Repeated', detail: 'Look.', rows: [] } as const;
    const longLived = {
      adapter: () => Promise.resolve({ layers: 1, matrices: 1, trainableParameters: 1 }),
      memory: () => Promise.resolve({}),
      report: (_at: unknown, _paths: unknown, _others: unknown, _length: unknown, { added }: { added?: AddedFiles }) => {
        asked.push(added);
        const report = { rows: 4, examples: 4, longest: 4, maxLength: 8, lengths: [], checks: [check], changed };
        return Promise.resolve(report as unknown as DataReport);
      },
    } as unknown as LongLived;
    const dataset = {
      id: 'd',
      trainPaths: ['/a.jsonl'],
      evalPaths,
      trainRows: 4,
      evalRows: 0,
      hash: 'h',
    } as unknown as Dataset;
    return (await planForRun(model, dataset, {}, { longLived, store, asker })).notes;
  };
  expect(await notesOf(true, [])).toContain('Changed. Look.');
  expect(await notesOf(false, ['/b.jsonl'])).not.toContain('Repeated. Look.');
  // The hash of both splits is not that of the one a plan reads.
  expect(asked).toEqual([
    { rows: 4, hash: 'h' },
    { rows: 4, hash: null },
  ]);
});
