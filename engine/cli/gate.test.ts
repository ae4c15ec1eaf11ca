import { expect, it } from 'vitest';
import type { EvaluationReport } from '../contract.ts';
import { missedBy, readGate, requireBaseline } from './gate.ts';

const contestant = (name: string, value: number) => ({
  ...{
    name,
    trained: name !== 'base',
    promptTokens: null,
    training: null,
    calibration: null,
    answerTokens: null,
    secondsPerAnswer: null,
    breakEvenAnswers: null,
  },
  measures: { json: { value, low: 0, high: 1, n: 10 } },
});
const report: EvaluationReport = {
  contestants: [contestant('base', 0.5), contestant('adapters/voice-2', 0.55)],
  ...{ pairs: [], rows: [], power: [], verdict: { code: 'cannot-tell', sentence: '' }, hashes: {} },
  ...{ notes: [], guards: null, looks: null, seeds: [], general: null },
};

it.each([
  ['json>=base+0.05', true],
  ['json >= base + 0.06', false],
  ['json>=base', true],
  ['json>=base-.1', true],
  ['json>=0.55', true],
  ['json>=0.5+0.1', false],
  ['json<=base', false],
  ['json<=0.6', true],
  ['json>=adapters/voice-2', true],
])('%s: %j', (text, isMet) => {
  expect(missedBy(report, readGate(text)).length === 0).toBe(isMet);
});

it('says which contestant missed it and by how much', () => {
  expect(missedBy(report, readGate('json>=0.9'))).toEqual([
    'adapters/voice-2 misses the gate json>=0.9: 0.5500 is below 0.9000.',
  ]);
});

it.each(['json', 'json>base', 'jason>=base', '>=base', 'json>='])('refuses %s', (text) => {
  expect(() => readGate(text)).toThrow(/--gate/);
});

it('refuses a baseline that nobody is, before anything is evaluated', () => {
  const names = ['base', 'voice-2', 'few-shot=3+schema'];
  for (const limit of ['few-shot', 'voice', 'voice+0.1', 'x'])
    expect(() => requireBaseline(readGate(`json>=${limit}`), names)).toThrow(/no contestant '.*'; there are base, voice-2/);
  for (const limit of ['base', 'voice-2', 'voice-2-0.1', 'few-shot=3+schema', '0.5'])
    requireBaseline(readGate(`json>=${limit}`), names);
});

it.each(['chrf>=base', 'chrf>=0.5'])('%s is missed where nobody has the measure', (text) => {
  expect(missedBy(report, readGate(text))).toEqual([expect.stringContaining("has no measure 'chrf'")]);
});
