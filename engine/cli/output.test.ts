import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import type { ProblemValue } from '../problem.ts';
import { Output } from './output.ts';

let stdout = '';
let stderr = '';
beforeEach(() => {
  stdout = stderr = '';
  vi.spyOn(process.stdout, 'write').mockImplementation((text) => ((stdout += String(text)), true));
  vi.spyOn(process.stderr, 'write').mockImplementation((text) => ((stderr += String(text)), true));
});
afterEach(() => vi.restoreAllMocks());

test('JSON on a terminal is text alone, and says what it said', () => {
  // Reversed order, a control sequence in one character, DEL, no width, a line of its own, a tag, a half of a pair.
  const row = { text: 'a\u202eb\u009b2Jc\u007f\u200b\u2028\u{e0041}\ud800é\n漢😀', 'na\u202eme': ['\u001b[2J'] };
  new Output(true).document(row);
  expect(stdout.endsWith('}\n')).toBe(true);
  expect(stdout.slice(0, -1)).not.toMatch(/[\0-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e]|[\u{e0000}-\u{e007f}]/u);
  expect(stdout).toContain('é\\n漢😀');
  expect(JSON.parse(stdout)).toEqual(row);
});

test('a notice and a problem are a sentence and a hint on lines of their own, whatever they carry', () => {
  const problem: ProblemValue = { code: 'store-damaged', message: 'first\nsentence', hint: 'a\u001b[2J hint' };
  const written = 'lowrank: store-damaged: first\\nsentence\n  a\\u001b[2J hint\n';
  new Output(false).notice(problem);
  expect([stdout, stderr]).toEqual(['', written]);
  new Output(false).problem(problem);
  expect([stdout, stderr]).toEqual(['', written + written]);
});

test('without a terminal what is a phase and a line of a log is said once', () => {
  const output = new Output(false);
  const begins = (phase: string) => output.progress({ phase, done: 0, total: 0, unit: '', secondsLeft: null });
  output.message('Reading the model.');
  begins('Reading the model');
  begins('Reading the data');
  output.message('Reading the data.');
  output.message('Step 0: evaluation loss 6.9176.');
  expect(stderr).toBe('Reading the model.\nReading the data\nStep 0: evaluation loss 6.9176.\n');
});

test('without a terminal a phase is a line, and so is how far a long one is every ten seconds', () => {
  vi.useFakeTimers({ toFake: ['performance'] });
  try {
    const output = new Output(true);
    const tell = (phase: string, done: number) => output.progress({ phase, done, total: 90, unit: 'bytes', secondsLeft: 61 });
    for (let second = 0; second < 25; second++) {
      tell('Reading', second);
      vi.advanceTimersByTime(1000);
    }
    tell('Training', 0);
    output.progress({ phase: 'Saving', done: 0, total: 0, unit: '', secondsLeft: null }, 'loss 2');
    const lines = [
      'Reading',
      'Reading: 10/90 bytes, 1 min 1 s left',
      'Reading: 20/90 bytes, 1 min 1 s left',
      'Training',
      'Saving',
    ];
    expect([stdout, stderr]).toEqual(['', `${lines.join('\n')}\n`]);
  } finally {
    vi.useRealTimers();
  }
});
