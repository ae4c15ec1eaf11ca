import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import type { Run, RunState } from '../../engine/contract.ts';
import { announceEnds } from './announce-ends.ts';

beforeEach(() => void vi.useFakeTimers({ toFake: ['performance'] }));
afterEach(() => void vi.useRealTimers());

/** Lets a run of so many seconds end in a state, and returns the titles that were announced. */
function announced(state: RunState, { seconds = 30, inFront = false, seen = true } = {}): string[] {
  const titles: string[] = [];
  let change: (run: Run) => void = () => undefined;
  const engine = {
    on: (name: string, listener: (payload: never) => void) => {
      if (name === 'run.changed') change = listener as (run: Run) => void;
      return () => undefined;
    },
    request: (_name: string, { title }: { title: string }) => Promise.resolve(void titles.push(title)),
  };
  announceEnds(engine as never, () => inFront);
  const run = { id: 'r', name: 'json-r16', seconds, lastLoss: 0.1, measures: {}, problem: null } as Run;
  if (seen) change({ ...run, state: 'running' });
  vi.advanceTimersByTime(seconds * 1000);
  change({ ...run, state });
  change({ ...run, state });
  return titles;
}

test('the end of a long run is announced once, when the window is not in front', () => {
  expect(announced('done')).toEqual(['json-r16 is trained']);
  expect(announced('failed')).toEqual(['json-r16 failed']);
  expect(announced('done', { inFront: true })).toEqual([]);
});

test('what was short, stopped by the person, or over before the window opened is not announced', () => {
  expect(announced('done', { seconds: 2 })).toEqual([]);
  expect(announced('stopped')).toEqual([]);
  expect(announced('done', { seen: false })).toEqual([]);
});
