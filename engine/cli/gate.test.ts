import { expect, it } from 'vitest';
import type { EvaluationReport } from '../contract.ts';
import { missedBy, readGate } from './gate.ts';

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

it('refuses a baseline that was not measured', () => {
  expect(() => missedBy(report, readGate('json>=few-shot'))).toThrow(/no contestant 'few-shot'/);
  expect(() => missedBy(report, readGate('chrf>=base'))).toThrow(/has no measure 'chrf'/);
});
