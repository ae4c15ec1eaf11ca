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
