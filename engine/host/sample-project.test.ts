import { expect, test, vi } from 'vitest';
import type { JobSpec, SampleProjectState } from '../contract.ts';
import type { JobOptions } from '../jobs/supervisor.ts';
import type { HostContext } from './context.ts';
import type { Datasets } from './datasets.ts';
import type { Library } from './library.ts';
import type { RunQueue } from './runs/queue.ts';
import { SampleProject } from './sample-project.ts';
import { Unsaved } from './unsaved.ts';

/** As a host finds it that starts again after one of an earlier studio, which was killed in the middle of the training. */
const interrupted: Omit<SampleProjectState, 'verdictBefore' | 'verdictAfter'> = {
  phase: 'training',
  projectId: 'p',
  runId: 'r',
  adapterId: null,
  question: '',
  requiredFields: [],
  answerBefore: 'Hello!',
  answerAfter: null,
  correctBefore: 0,
  correctAfter: null,
  rows: 16,
  progress: null,
  problem: null,
};

/** Sixteen answers with the right fields but for the last. */
const text = '{"intent": "order", "product": "tea", "quantity": 1, "urgent": false}';
const verdict = { evaluator: 'json-fields', state: 'good', text: '4 of 4 fields', measures: { 'json-fields': 1 } } as const;
const rows = Array.from({ length: 16 }, (_, row) => ({ row, measures: { 'json-fields': row === 15 ? 0 : 1 } }));

function flow(ended: { state: string }) {
  const states: SampleProjectState[] = [];
  const start = vi.fn((_: JobSpec, { onMessage }: JobOptions) => {
    const progress = { done: 0, total: 16, secondsLeft: null };
    onMessage?.({ type: 'progress', progress: { ...progress, phase: 'Reading the data', unit: 'bytes' } });
    onMessage?.({ type: 'progress', progress: { ...progress, phase: 'Answering', unit: 'rows' } });
    for (const { row } of rows)
      onMessage?.({
        type: 'answered',
        row,
        answer: {
          question: '',
          expected: '',
          text: `${text}${row}`,
          verdicts: [verdict],
          promptTokens: 1,
          answerTokens: 1,
          seconds: 1,
        },
      });
    return { finished: Promise.resolve({ rows }) };
  });
  const context = {
    store: {
      sampleProject: { get: () => interrupted, put: (state: SampleProjectState) => states.push(state) },
      adapters: { ofRun: () => ({ id: 'a', path: '/adapter' }) },
      runs: { get: () => ended },
      models: { get: () => ({ id: 'm', path: '/model', acceptFields: [] }) },
    },
    supervisor: { start },
    unsaved: new Unsaved(),
    emit: () => {},
  } as unknown as HostContext;
  const runs = { ended: () => Promise.resolve({ id: 'r', modelId: 'm', problem: null, ...ended }) } as unknown as RunQueue;
  return { sample: new SampleProject(context, { library: {} as Library, datasets: {} as Datasets, runs }), states, start };
}

test('a sample whose run is resumed by hand goes on to its second count', async () => {
  const { sample, states, start } = flow({ state: 'done' });
  expect(states.at(-1)!.phase).toBe('stopped');
  // The answer of the earlier studio was stored without a verdict.
  expect(states.at(-1)).toMatchObject({ verdictBefore: { text: 'no JSON', state: 'bad' }, verdictAfter: null });
  sample.follow('another run');
  expect(sample.busy).toBe(false);
  sample.follow('r');
  expect(states.at(-1)!.phase).toBe('training');
  await vi.waitFor(() => expect(sample.busy).toBe(false));
  expect(states.at(-1)).toMatchObject({ phase: 'done', correctBefore: 0, correctAfter: 15, adapterId: 'a' });
  expect(states.at(-1)).toMatchObject({ answerAfter: `${text}0`, verdictAfter: verdict });
  expect(states.map(({ progress }) => progress?.phase)).toContain('Asking the trained model');
  expect(states.map(({ progress }) => progress?.unit)).not.toContain('bytes');
  expect(start.mock.calls.map(([spec]) => spec)).toMatchObject([
    { kind: 'evaluate', model: { path: '/model' }, adapterPath: '/adapter', evaluators: ['json-fields'], maxTokens: 48 },
  ]);
});

test('one that has trained already only counts when it is started again', async () => {
  const { sample, states } = flow({ state: 'done' });
  expect(sample.start()).toMatchObject({ phase: 'training', runId: 'r' });
  await vi.waitFor(() => expect(sample.busy).toBe(false));
  expect(states.at(-1)).toMatchObject({ phase: 'done', correctAfter: 15 });
});

test('and one that is stopped once more waits for the next time', async () => {
  const { sample, states, start } = flow({ state: 'stopped' });
  sample.follow('r');
  await vi.waitFor(() => expect(sample.busy).toBe(false));
  expect(states.at(-1)).toMatchObject({ phase: 'stopped', correctAfter: null });
  expect(start).not.toHaveBeenCalled();
});
