import { expect, test } from 'vitest';
import type { DataReport, Model } from '../contract.ts';
import type { Store } from '../store/open.ts';
import type { Asker } from './context.ts';
import type { Datasets } from './datasets.ts';
import type { ModelProcesses } from './model-processes.ts';
import { planForRun } from './plan.ts';

test('a plan says which files of its data set have changed since its version was made', async () => {
  const store = {
    models: { get: () => ({ id: 'm', path: '/model' }) as Model },
    metrics: { rateOf: () => null },
    memory: { of: () => [] },
    datasets: { version: () => ({ datasetId: 'd', evalRows: 0 }) },
  } as unknown as Store;
  const { signal } = new AbortController();
  const asker: Asker = { client: { gone: signal, tell: () => {} }, signal };
  const datasets = { dataAt: () => Promise.resolve({ paths: ['/a.jsonl'] }) } as unknown as Datasets;
  const notesOf = async (changed: string[]) => {
    const check = {
      severity: 'warning',
      title: changed.length > 0 ? 'Changed' : 'Repeated',
      ...{ name: 'duplicates', detail: 'Look.', why: '', fix: null, count: 0 },
      rows: [],
    } as const;
    const processes = {
      adapter: () => Promise.resolve({ layers: 1, matrices: 1, trainableParameters: 1, totalParameters: 1 }),
      memory: () => Promise.resolve({}),
      report: () => {
        const report = { rows: 4, examples: 4, longest: 4, maxLength: 8, lengths: [], checks: [check], changed };
        return Promise.resolve(report as unknown as DataReport);
      },
    } as unknown as ModelProcesses;
    const request = { model: { id: 'm' }, data: { versionId: 'v' }, recipe: {} };
    return (await planForRun(request, { processes, store, datasets, asker })).notes;
  };
  expect(await notesOf(['/a.jsonl'])).toContain('Changed. Look.');
  expect(await notesOf([])).not.toContain('Repeated. Look.');
});
