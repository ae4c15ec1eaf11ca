import { expect, test, vi } from 'vitest';
import type { EvaluatedRow, Evaluation, EvaluationRequest, JobSpec, SampleProjectState, Verdict } from '../contract.ts';
import type { JobOptions } from '../jobs/supervisor.ts';
import { sampleFiles } from '../resources.ts';
import type { Asker, HostContext } from './context.ts';
import type { RunQueue } from './runs/queue.ts';
import { type SampleParts, SampleProject } from './sample-project.ts';
import { Unsaved } from './unsaved.ts';

/** As a host finds it that starts again after one that was killed in the middle of the training. */
const interrupted: SampleProjectState = {
  sample: { name: 'json-orders', title: 'Orders as JSON', summary: '', right: '' },
  phase: 'training',
  projectId: 'p',
  runId: 'r',
  adapterId: null,
  question: '',
  answerBefore: 'Hello!',
  answerAfter: null,
  verdictBefore: null,
  verdictAfter: null,
  correctBefore: 0,
  correctAfter: null,
  rows: 16,
  progress: null,
  problem: null,
};

/** Sixteen answers that are right but for the last. */
const text = '{"intent": "order", "product": "tea", "quantity": 1, "urgent": false}';
const good = { evaluator: 'json-values', state: 'good', text: 'as expected', measures: { 'json-values': 1 } } as const;
const bad = { evaluator: 'json-values', state: 'caution', text: '3 of 4 right', measures: { 'json-values': 0.75 } } as const;
const rowsWith = (verdictsOf: (row: number) => readonly Verdict[]) =>
  Array.from({ length: 16 }, (_, row): EvaluatedRow => {
    const costs = { promptTokens: 1, answerTokens: 1, seconds: 1 };
    const answer = { question: '', expected: '', text: `${text}${row}`, verdicts: verdictsOf(row), ...costs };
    return { row, measures: {}, supervisedTokens: 1, answer };
  });
const orders = rowsWith((row) => [row === 15 ? bad : good]);

function flow(
  ended: { state: string },
  {
    stored = interrupted,
    rows = orders,
    compared = [],
  }: { stored?: object; rows?: readonly EvaluatedRow[]; compared?: Evaluation[] } = {},
) {
  const states: SampleProjectState[] = [];
  const start = vi.fn((_: JobSpec, { onMessage }: JobOptions) => {
    const progress = { done: 0, total: 16, secondsLeft: null };
    onMessage?.({ type: 'progress', progress: { ...progress, phase: 'Reading the data', unit: 'bytes' } });
    onMessage?.({ type: 'progress', progress: { ...progress, phase: 'Answering', unit: 'rows' } });
    for (const { row, answer } of rows) onMessage?.({ type: 'answered', row, answer: answer! });
    return { finished: Promise.resolve({ rows }) };
  });
  const context = {
    store: {
      sampleProject: { get: () => stored, put: (state: SampleProjectState) => states.push(state) },
      adapters: { ofRun: () => ({ id: 'a', path: '/adapter' }) },
      runs: { get: () => ({ modelId: 'm', versionId: 'v', ...ended }) },
      datasets: { list: () => [] },
      models: { get: () => ({ id: 'm', path: '/model', acceptFields: [] }) },
    },
    supervisor: { start },
    unsaved: new Unsaved(),
    emit: () => {},
  } as unknown as HostContext;
  const runs = { ended: () => Promise.resolve({ id: 'r', modelId: 'm', problem: null, ...ended }) } as unknown as RunQueue;
  const add = vi.fn(() => Promise.resolve({ version: { id: 'test rows' } }));
  const compare = vi.fn((request: EvaluationRequest) => {
    compared.push({ id: 'e', request } as Evaluation);
    return compared[0]!;
  });
  const evaluations = { list: () => compared, start: compare, resume: (id: string) => compared.find((one) => one.id === id) };
  const parts = { library: {}, datasets: { add }, runs, evaluations } as unknown as SampleParts;
  return { sample: new SampleProject(context, parts), states, start, compare, add };
}

test('a sample whose run is resumed by hand goes on to its second count', async () => {
  const { sample, states, start } = flow({ state: 'done' });
  expect(states.at(-1)!.phase).toBe('stopped');
  sample.follow('another run');
  expect(sample.busy).toBe(false);
  sample.follow('r');
  expect(states.at(-1)!.phase).toBe('training');
  await vi.waitFor(() => expect(sample.busy).toBe(false));
  expect(states.at(-1)).toMatchObject({ phase: 'done', correctBefore: 0, correctAfter: 15, adapterId: 'a' });
  expect(states.at(-1)).toMatchObject({ answerAfter: `${text}0`, verdictAfter: good });
  expect(states.map(({ progress }) => progress?.phase)).toContain('Asking the trained model');
  expect(states.map(({ progress }) => progress?.unit)).not.toContain('bytes');
  expect(start.mock.calls.map(([spec]) => spec)).toMatchObject([
    { kind: 'evaluate', model: { path: '/model' }, adapterPath: '/adapter', evaluators: ['json-values'], maxTokens: 48 },
  ]);
});

test('one that has trained already only counts when it is started again', async () => {
  const { sample, states } = flow({ state: 'done' });
  expect(sample.start('json-orders')).toMatchObject({ phase: 'training', runId: 'r' });
  await vi.waitFor(() => expect(sample.busy).toBe(false));
  expect(states.at(-1)).toMatchObject({ phase: 'done', correctAfter: 15 });
});

test('an answer is right when every evaluator that decides says so, and the one that does not is shown', async () => {
  const language = { evaluator: 'language', state: 'good', text: 'de', measures: { language: 1 } } as const;
  const long = { evaluator: 'length', state: 'bad', text: '14 words', measures: { length: 0 } } as const;
  const short = { ...long, state: 'good', text: '5 words', measures: { length: 1 } } as const;
  // Where the language cannot be told, nothing says that the answer is right.
  const rows = rowsWith((row) => (row === 0 ? [language, long] : row === 1 ? [short] : [language, short]));
  const stored = { ...interrupted, sample: { ...interrupted.sample, name: 'brief-answers' } };
  const { sample, states, start } = flow({ state: 'done' }, { stored, rows });
  sample.follow('r');
  await vi.waitFor(() => expect(sample.busy).toBe(false));
  expect(states.at(-1)).toMatchObject({ phase: 'done', correctAfter: 14, verdictAfter: long });
  const [spec] = start.mock.calls[0]!;
  expect(spec).toMatchObject({ evaluators: ['language', { name: 'length', options: { most: 10 } }], maxTokens: 48 });
  // Of the 120 test rows the first sixteen are asked.
  expect(spec).toMatchObject({ data: { changes: [{ kind: 'exclude', files: [{ rows: { length: 104 } }] }] } });
});

test('what an earlier studio stored, which asked other questions, is not gone on with', () => {
  const { sample: _, ...earlier } = interrupted;
  const { sample, start } = flow({ state: 'done' }, { stored: { ...earlier, requiredFields: ['intent'] } });
  expect(sample.state).toBeNull();
  sample.follow('r');
  expect(sample.busy).toBe(false);
  expect(start).not.toHaveBeenCalled();
});

test('and one that is stopped once more waits for the next time', async () => {
  const { sample, states, start } = flow({ state: 'stopped' });
  sample.follow('r');
  await vi.waitFor(() => expect(sample.busy).toBe(false));
  expect(states.at(-1)).toMatchObject({ phase: 'stopped', correctAfter: null });
  expect(start).not.toHaveBeenCalled();
});

test('its adapter is compared with the alternatives once, on all its test rows', async () => {
  const { sample, compare, add } = flow({ state: 'done' });
  const asker = {} as Asker;
  await expect(sample.compare(asker)).rejects.toThrow(/No sample has been trained/);
  sample.follow('r');
  await vi.waitFor(() => expect(sample.busy).toBe(false));
  const { id, request } = await sample.compare(asker);
  expect(add).toHaveBeenCalledWith('p', expect.objectContaining({ data: { paths: [sampleFiles('json-orders').test] } }), asker);
  expect(request).toMatchObject({
    ...{ projectId: 'p', model: { id: 'm' }, data: { versionId: 'test rows' }, maxTokens: 48 },
    train: { data: { versionId: 'v' }, split: 'train' },
    contestants: [{}, { shots: { count: 3 } }, { schema: true }, { constrained: true }, { adapter: { id: 'a' } }],
    schemaFile: sampleFiles('json-orders').schema,
  });
  expect((await sample.compare(asker)).id).toBe(id);
  expect(compare).toHaveBeenCalledTimes(1);
});
