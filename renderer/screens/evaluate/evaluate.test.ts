import { describe, expect, it } from 'vitest';
import type { ReportedContestant, ReportedPair } from '../../../engine/contract.ts';
import { choiceOf, contestantsOf } from './contestant-choice.ts';
import { markedAnswers } from './differing.ts';
import { hasJsonAnswer } from './json-answers.ts';
import { differenceText, intervalText, pText, valueText } from './measure-names.ts';
import { optionFault, optionsOf, textsOf } from './option-texts.ts';
import { bestAlternative, countsOf, firstCell, firstPair, pairOf } from './report-pairs.ts';
import { standings } from './standing.ts';
import { niceTicks } from './ticks.ts';
import { verdictWords } from './verdict-words.ts';

describe('the verdict', () => {
  it('is divided into what is claimed and what that rests on', () => {
    const sentence =
      'Worth it: a (b) is 10 points better than few-shot=3, the best alternative (share of answers that are JSON; 95 % interval 4 points to 16 points, 120 rows), and saves 338 tokens of each prompt.';
    expect(verdictWords({ code: 'worth-it', sentence })).toEqual({
      claim: 'a (b) is 10 points better than few-shot=3, the best alternative',
      details: 'share of answers that are JSON; 95 % interval 4 points to 16 points, 120 rows; saves 338 tokens of each prompt',
    });
  });
  it('stays whole where it has no such parts', () => {
    const sentence = 'Cannot tell: nothing trained was measured on these rows.';
    expect(verdictWords({ code: 'cannot-tell', sentence })).toEqual({
      claim: 'nothing trained was measured on these rows.',
      details: '',
    });
  });
});

describe('the pair', () => {
  const contestant = (name: string, trained: boolean, value: number, promptTokens: number): ReportedContestant => ({
    ...{
      name,
      trained,
      promptTokens,
      answerTokens: 1,
      secondsPerAnswer: 1,
      calibration: null,
      training: null,
      breakEvenAnswers: null,
    },
    measures: { json: { value, low: 0, high: 1, n: 9 } },
  });
  const contestants = [
    contestant('base', false, 0.2, 10),
    contestant('few', false, 0.7, 40),
    contestant('schema', false, 0.7, 30),
    contestant('adapter', true, 0.9, 10),
  ];
  const pair: ReportedPair = {
    ...{ a: 'base', b: 'adapter', measure: 'json', n: 10, both: 1, onlyA: 2, onlyB: 3, neither: 4 },
    ...{ mcnemar: 1, p: 1, corrected: 1, difference: -0.1, low: -0.3, high: 0.1, power: null },
  };
  it('begins with the best trained one against the best other', () => {
    expect(firstPair({ contestants }, 'json')).toEqual(['adapter', 'schema']);
    expect(bestAlternative({ contestants }, 'json')).toBe('schema');
    expect(firstPair({ contestants: contestants.slice(0, 2) }, 'json')).toEqual(['base', 'few']);
    expect(bestAlternative({ contestants: contestants.slice(0, 2) }, 'json')).toBeNull();
    expect(firstPair({ contestants: contestants.slice(0, 1) }, 'json')).toBeNull();
  });
  it('is turned where the report has it the other way round', () => {
    expect(pairOf({ pairs: [pair] }, 'adapter', 'base', 'json')).toMatchObject({
      ...{ a: 'adapter', b: 'base', onlyA: 3, onlyB: 2, difference: 0.1, low: -0.1, high: 0.3 },
    });
    expect(pairOf({ pairs: [pair] }, 'base', 'base', 'json')).toBeNull();
  });
  it('shows the rows first on which the two differ', () => {
    expect(firstCell(countsOf(pair)!)).toBe('only-a');
    expect(firstCell({ both: 5, 'only-a': 0, 'only-b': 0, neither: 0 })).toBe('both');
    expect(countsOf({ ...pair, both: null })).toBeNull();
  });
});

describe('what differs', () => {
  const marks = (pieces: readonly { text: string; mark: string | null }[]) =>
    pieces.filter(({ mark }) => mark !== null).map(({ text, mark }) => `${mark} ${text}`);
  it('is a field of JSON, right or wrong by what was expected', () => {
    const [a, b] = markedAnswers(
      { text: '{"x": 1, "y": [2], "z": "é"}', right: false },
      { text: '{"x":1,"y":[3],"w":0}', right: false },
      '{"x": 1, "y": [2], "w": 0}',
    );
    expect(marks(a)).toEqual(['right [2]', 'wrong "é"']);
    expect(marks(b)).toEqual(['wrong [3]', 'right 0']);
    expect(a.map(({ text }) => text).join('')).toBe('{"x": 1, "y": [2], "z": "é"}');
  });
  it('is a word of other texts, and no text is lost', () => {
    const [one, two] = ['Yes,\n we 🙏 send it today.', 'Yes,\n we send it   tomorrow.'];
    const [a, b] = markedAnswers({ text: one, right: true }, { text: two, right: false }, 'x');
    expect(marks(a)).toEqual(['right 🙏 ', 'right today.']);
    expect(marks(b)).toEqual(['wrong tomorrow.']);
    expect([a, b].map((pieces) => pieces.map(({ text }) => text).join(''))).toEqual([one, two]);
    expect(markedAnswers({ text: '', right: false }, { text: '', right: false }, '')).toEqual([[], []]);
  });
});

describe('the form', () => {
  it('gives contestants that it reads back', () => {
    const choice = {
      ticked: ['base', 'few-shot+schema', 'constrained', 'adapter:7', 'adapter+schema:7'] as const,
      shots: { count: 'auto', rule: 'nearest' } as const,
      endpoint: { url: 'http://127.0.0.1:1/v1', model: 'm', keyVariable: 'KEY' },
    };
    const contestants = contestantsOf(choice);
    expect(contestants).toEqual([
      {},
      { shots: { count: 'auto', rule: 'nearest' }, schema: true },
      { constrained: true },
      { endpoint: { url: 'http://127.0.0.1:1/v1', model: 'm', keyVariable: 'KEY' } },
      { adapter: { id: '7' } },
      { adapter: { id: '7' }, schema: true },
    ]);
    expect(choiceOf({ contestants })).toEqual(choice);
  });
  it('reads options as their kind says, and leaves out what is empty', () => {
    const options = [
      { name: 'most', kind: 'integer', help: '', least: 2 },
      { name: 'texts', kind: 'texts', help: '', otherwise: [] },
      { name: 'schema', kind: 'json', help: '', otherwise: {} },
      { name: 'flag', kind: 'flag', help: '', otherwise: false },
    ] as const;
    const texts = { most: '5', texts: 'a b\n\nc', flag: 'true' };
    expect(optionsOf(options, texts)).toEqual({ most: 5, texts: ['a b', 'c'], flag: true });
    expect(textsOf(optionsOf(options, texts))).toEqual({ most: '5', texts: 'a b\nc', flag: 'true' });
    expect(optionFault(options[0], '1')).toBe('A whole number from 2.');
    expect(optionFault(options[0], '')).toBe('It must be given.');
    expect(optionFault(options[2], '{')).toBe('This is not JSON.');
  });
  it('sees rows whose answers are JSON', () => {
    expect(hasJsonAnswer({ messages: [{ role: 'assistant', content: ' {"a": 1}\n' }] })).toBe(true);
    expect(hasJsonAnswer({ messages: [{ role: 'assistant', content: '{a}' }] })).toBe(false);
    expect(hasJsonAnswer(null)).toBe(false);
  });
});

describe('progress', () => {
  it('is told of each contestant, who answer one after the other but for the first rows', () => {
    const evaluation = { contestants: ['a', 'b', 'c'], answered: 171, answers: 360 };
    expect(standings(evaluation, { b: { answers: 10, seconds: 20 } })).toEqual([
      { name: 'a', answered: 120, rows: 120, secondsLeft: null },
      { name: 'b', answered: 35, rows: 120, secondsLeft: 170 },
      { name: 'c', answered: 16, rows: 120, secondsLeft: null },
    ]);
    expect(standings({ ...evaluation, answers: null }, {})[0]).toMatchObject({ answered: 0, rows: 0 });
  });
});

describe('numbers', () => {
  it('are written with their unit and sign', () => {
    expect(valueText('json', 0.9333)).toBe('93.3\u00a0%');
    expect(valueText('loss', 1.23456)).toBe('1.235');
    expect(intervalText('json', 0.0403, 1)).toBe('4.0–100.0');
    expect(differenceText('json', 0.1)).toBe('+10.0');
    expect(differenceText('json', -0.05)).toBe('−5.0');
    expect(differenceText('json', -0.0001)).toBe('0.0');
    expect([pText(0.0042), pText(0)]).toEqual(['=\u00a00.0042', '<\u00a00.0001']);
  });
  it('on an axis are round and reach beyond what is drawn', () => {
    for (const values of [
      [-0.3, 0.2],
      [0, 0],
      [4.1, 4.2, 0],
      [-1e-4, 2e-4],
    ]) {
      const ticks = niceTicks(values);
      expect(ticks.length).toBeGreaterThanOrEqual(2);
      expect(ticks.length).toBeLessThanOrEqual(8);
      expect(ticks[0]).toBeLessThanOrEqual(Math.min(...values));
      expect(ticks.at(-1)).toBeGreaterThanOrEqual(Math.max(...values));
    }
  });
});
