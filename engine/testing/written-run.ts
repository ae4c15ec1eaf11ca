/** Writes the folder of a run as its job does, without a job. */
import type { RunRecord } from '../jobs/run-folder.ts';
import { RunWriter } from '../jobs/run-writer.ts';
import { defaultRecipe } from '../recipe.ts';
import { versions } from '../versions.ts';

const data = { format: 'tokens', rows: 8, examples: 8, skipped: 0, truncated: 0, withoutTarget: 0 } as const;

/** Begins a session of a run of `totalSteps` steps after `step` of them. The test writes the rest. */
export function writtenRun(out: string, onWritten: () => void, { totalSteps = 4, step = 0 } = {}): RunWriter {
  const folder = new RunWriter(out, onWritten);
  const record: RunRecord = {
    ...{ version: 1, recipe: defaultRecipe(), base: { path: '/model', name: 'model', family: 'llama', hash: 'h' } },
    ...{ startedFrom: null, data: { ...data, paths: ['/rows.jsonl'], hash: 'h' }, evaluation: null, templateHash: null },
    ...{ device: { provider: 'cpu', name: 'CPU', threads: 1 }, versions, notExact: [], totalSteps, trainableParameters: 96 },
    ...{ startedAt: '2026-07-15T12:00:00Z', finishedAt: null },
  };
  folder.open(step > 0);
  folder.write(record);
  folder.begin(step, 9);
  return folder;
}
