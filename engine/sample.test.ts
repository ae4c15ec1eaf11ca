import { expect, test, vi } from 'vitest';
import type { SampleState } from './contract.ts';
import type { HostContext } from './host/context.ts';
import type { Library } from './host/library.ts';
import type { LongLived } from './host/long-lived.ts';
import type { RunQueue } from './host/runs/queue.ts';
import { Unsaved } from './host/unsaved.ts';
import { SampleFlow } from './sample.ts';

/** As a host finds it that starts again after one which was killed in the middle of the training. */
const interrupted: SampleState = {
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

function flow(ended: { state: string }) {
  const states: SampleState[] = [];
  const context = {
    store: {
      sampleState: { get: () => interrupted, put: (state: SampleState) => states.push(state) },
      adapters: { ofRun: () => ({ id: 'a', path: '/adapter' }) },
      runs: { get: () => ended },
      models: { get: () => ({ id: 'm', path: '/model' }) },
    },
    unsaved: new Unsaved(),
    emit: () => {},
  } as unknown as HostContext;
  const runs = { ended: () => Promise.resolve({ id: 'r', modelId: 'm', problem: null, ...ended }) } as unknown as RunQueue;
  const generate = vi.fn(() =>
    Promise.resolve({ text: '{"intent": "order", "product": "tea", "quantity": 1, "urgent": false}' }),
  );
  const sample = new SampleFlow(context, {} as Library, runs, { generate } as unknown as LongLived);
  return { sample, states, generate };
}

test('a sample whose run is resumed by hand goes on to its second count', async () => {
  const { sample, states, generate } = flow({ state: 'done' });
  expect(states.at(-1)!.phase).toBe('stopped');
  sample.follow('another run');
  expect(sample.busy).toBe(false);
  sample.follow('r');
  expect(states.at(-1)!.phase).toBe('training');
  await vi.waitFor(() => expect(sample.busy).toBe(false));
  expect(states.at(-1)).toMatchObject({ phase: 'done', correctBefore: 0, correctAfter: 16, adapterId: 'a' });
  expect(generate).toHaveBeenCalledTimes(16);
});

test('one that has trained already only counts when it is started again', async () => {
  const { sample, states } = flow({ state: 'done' });
  expect(sample.start()).toMatchObject({ phase: 'training', runId: 'r' });
  await vi.waitFor(() => expect(sample.busy).toBe(false));
  expect(states.at(-1)).toMatchObject({ phase: 'done', correctAfter: 16 });
});

test('and one that is stopped once more waits for the next time', async () => {
  const { sample, states, generate } = flow({ state: 'stopped' });
  sample.follow('r');
  await vi.waitFor(() => expect(sample.busy).toBe(false));
  expect(states.at(-1)).toMatchObject({ phase: 'stopped', correctAfter: null });
  expect(generate).not.toHaveBeenCalled();
});
