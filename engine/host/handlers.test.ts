import { expect, test } from 'vitest';
import type { Sample, Verdict } from '../contract.ts';
import type { Asker, HostContext } from './context.ts';
import { handlersFor, type HostParts } from './handlers.ts';

test('answers of a run have the verdict they were stored with; those of an earlier studio are judged as they are read', async () => {
  const stored: Verdict = { evaluator: 'exact-match', state: 'good', text: 'as expected', measures: { 'exact-match': 1 } };
  const sample = { step: 0, prompt: 0, promptText: 'Two?', expected: '{"n": 2}', text: '{"n": 3}' };
  const samples: Sample[] = [
    { ...sample, verdict: stored },
    { ...sample, verdict: null },
    { ...sample, expected: '', verdict: null },
  ];
  const store = { samples: { list: () => samples } };
  const handlers = handlersFor({ store } as unknown as HostContext, {} as HostParts);
  const read = await handlers['runs.samples']({ id: 'r' }, {} as Asker);
  expect(read.map(({ verdict }) => verdict)).toEqual([
    stored,
    { evaluator: 'json-values', state: 'caution', text: '0 of 1 right', measures: { 'json-values': 0, 'json-precision': 0 } },
    null,
  ]);
});
