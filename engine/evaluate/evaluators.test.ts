import { describe, expect, it } from 'vitest';
import { isMeasure } from '../measures.ts';
import type { AnswerEvaluator } from './evaluator.ts';
import { evaluators, evaluatorsNamed, judge } from './evaluators.ts';

const garbage = ['', ' ', '{', '}', '[1]', 'null', '{"a":', '\u0000', '{"__proto__": 1}', '"{}"', '{}'.repeat(1000), '🙂'];

describe('the table of evaluators', () => {
  it('has each name once, and refuses one that it does not have', () => {
    const names = evaluators.map(({ name }) => name);
    expect(new Set(names).size).toBe(names.length);
    expect(evaluatorsNamed(['json-fields', 'loss', 'json-fields']).map(({ name }) => name)).toEqual(['json-fields', 'loss']);
    expect(() => evaluatorsNamed(['jason'])).toThrow(/no evaluator 'jason'/);
  });

  it('scores whatever a model writes with known measures between 0 and 1, and never fails', () => {
    for (const evaluator of evaluators.filter((one): one is AnswerEvaluator => one.needs === 'answers'))
      for (const expected of ['{"a": 1, "b": [2]}', '{}', 'Yellow.', ...garbage])
        for (const answer of ['{"a": 1, "b": [2]}', 'Yellow.', ...garbage]) {
          const verdict = evaluator.score({ question: 'What?', expected }, answer);
          for (const [name, value] of Object.entries(verdict?.measures ?? {})) {
            expect(isMeasure(name), name).toBe(true);
            expect(value).toBeGreaterThanOrEqual(0);
            expect(value).toBeLessThanOrEqual(1);
          }
        }
  });

  it('takes the loss of supervised tokens for what it is, and its exponential for the perplexity', () => {
    const [loss] = evaluatorsNamed(['loss']);
    expect(loss?.needs === 'loss' && loss.score(2)).toEqual({ loss: 2, perplexity: Math.exp(2) });
  });
});

describe('json-fields', () => {
  const [evaluator] = evaluatorsNamed(['json-fields']) as [AnswerEvaluator];
  const score = (answer: string, expected = '{"a": 1, "b": 2}') => evaluator.score({ question: '', expected }, answer);

  it('asks for exactly the expected fields of one JSON object, whatever their values', () => {
    expect(score(' {"b": null, "a": []}\n')).toEqual({ state: 'good', text: '2 of 2 fields', measures: { 'json-fields': 1 } });
    for (const [answer, text] of [
      ['{"a": 1}', '1 of 2 fields'],
      ['{"a": 1, "b": 2, "c": 3}', '2 of 2 fields, 1 too many'],
      ['{"a": 1, "toString": 2}', '1 of 2 fields, 1 too many'],
      ['{"a": 1, "b": 2', 'broken JSON'],
      ['Sure! {"a": 1, "b": 2}', 'no JSON'],
      ['[1]', 'no JSON object'],
      ['null', 'no JSON object'],
    ] as const)
      expect(score(answer)).toMatchObject({ text, measures: { 'json-fields': 0 } });
  });

  it('says nothing of rows whose answer is no JSON object', () => {
    for (const expected of ['', 'Yellow.', '[1]', '"a"']) expect(score('{"a": 1}', expected)).toBeNull();
  });
});

describe('an answer nobody chose an evaluator for', () => {
  const verdict = (answer: string, expected: string) => judge({ question: '', expected }, answer);

  it.each([
    ['{"a": 1, "b": true}', 'as expected', 1],
    ['{"b":true,"a":1}', 'as expected', 1],
    ['{"a": 2, "b": true}', '1 of 2 right', 0.5],
    ['{"a": 1}', '1 of 2 fields', 0.5],
    ['{"a": 1, "b": true, "c": 0}', '2 of 2 fields, 1 too many', 1],
    ['{"a": 1, "b"', 'broken JSON', 0],
    ['Sure! Here it is.', 'no JSON', 0],
  ])('%s: %s', (answer, text, share) => {
    const expected = { evaluator: 'json-values', text, measures: { 'json-values': share } };
    expect(verdict(answer, '{"a": 1, "b": true}')).toMatchObject(expected);
  });

  it('compares values within values whatever the order of their keys', () => {
    expect(verdict('{"a": {"y": [2], "x": 1}}', '{"a": {"x": 1, "y": [2]}}')?.text).toBe('as expected');
    expect(verdict('{"a": {"x": 1, "y": [2, 3]}}', '{"a": {"x": 1, "y": [3, 2]}}')?.text).toBe('0 of 1 right');
  });

  it('tells values apart that are nested deeper than a stack', () => {
    const nested = (inner: string) => `{"a": ${'['.repeat(100_000)}${inner}${']'.repeat(100_000)}}`;
    expect(verdict(nested('1'), nested('1 '))?.text).toBe('as expected');
    expect(verdict(nested('1'), nested('2'))?.text).toBe('0 of 1 right');
    expect(verdict('{"a": {}}', '{"a": []}')?.text).toBe('0 of 1 right');
    expect(verdict('{"a": {"toString": 1}}', '{"a": {"x": 1}}')?.text).toBe('0 of 1 right');
  });

  it('counts words only when they are the same', () => {
    expect(verdict('Yellow. ', 'Yellow.')).toMatchObject({ evaluator: 'exact-match', state: 'good' });
    expect(verdict('Red.', 'Yellow.')).toMatchObject({ text: 'differs', measures: { 'exact-match': 0 } });
    expect(verdict('Red.', '')).toBeNull();
  });
});
