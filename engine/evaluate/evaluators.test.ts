import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { EvaluatorChoice } from '../contract.ts';
import { isMeasure } from '../measures.ts';
import { within } from './bounded.ts';
import { chrfOf } from './chrf.ts';
import type { AnswerEvaluator, LearningRows } from './evaluator.ts';
import { evaluators, kindNamed, openEvaluators } from './evaluators.ts';
import { fieldTable } from './json-fields.ts';
import { judge } from './judge.ts';
import { rougeLOf } from './rouge-l.ts';

const garbage = [
  ...[
    '',
    ' ',
    '{',
    '}',
    '[1]',
    'null',
    '{"a":',
    '\u0000',
    '{"__proto__": 1}',
    '"{}"',
    '{}'.repeat(1000),
    '🙂',
    '\ud800',
    'f(',
    '[f(a=',
  ],
  ...[
    '```json\n{"a": 1}\n```',
    '<tool_call>',
    `${'['.repeat(20_000)}${']'.repeat(20_000)}`,
    '.'.repeat(5000),
    '<tool_call>null</tool_call>',
  ],
];
const learning: LearningRows = Array.from({ length: 12 }, (_, i) => ({
  ...{ question: `Question ${i}?`, trained: `Ahoy! Number ${i}, matey.` },
  base: `The number is ${i}, as you asked. Would you like to know more about it?`,
}));
/** Holds options for the evaluators that need some. */
const needed: Readonly<Record<string, Readonly<Record<string, unknown>>>> = {
  'not-contains': { texts: ['sorry'] },
  regex: { pattern: '^[A-Z]' },
  length: { most: 5 },
  script: { code: 'answer.length / (answer.length + 1)' },
  'json-schema': { schema: { type: 'object', required: ['a'] } },
};
const open = (choice: EvaluatorChoice) => {
  const { name, options } = typeof choice === 'string' ? { name: choice, options: {} } : choice;
  return kindNamed(name).open(options, learning) as AnswerEvaluator;
};
const scoreBy = (name: string, options: Readonly<Record<string, unknown>>, answer: string, expected = '', tokens?: number) =>
  open({ name, options }).score({ question: '', expected }, answer, tokens);
/** Returns what one measure says of an answer; null when nothing is said. */
const valueBy = (name: string, options: Readonly<Record<string, unknown>>, answer: string, expected = '', tokens?: number) =>
  Object.values(scoreBy(name, options, answer, expected, tokens)?.measures ?? {})[0] ?? null;

describe('the table of evaluators', () => {
  it('has each name once, and refuses one that it does not have', async () => {
    const names = evaluators.map(({ name }) => name);
    expect(new Set(names).size).toBe(names.length);
    const opened = await openEvaluators(['json-fields', 'loss', 'json-fields']);
    expect(opened.map(({ name }) => name)).toEqual(['json-fields', 'loss']);
    await expect(openEvaluators(['jason'])).rejects.toThrow(/no evaluator 'jason'/);
  });

  it.each([
    ['an option that does not exist', { name: 'length', options: { mosst: 3 } }, /no option 'mosst'/],
    ['an option that is missing', { name: 'length', options: {} }, /needs the option 'most'/],
    ['an option of another kind', { name: 'length', options: { most: 'three' } }, /'most' of 'length' must be a whole number/],
    [
      'a choice that is none',
      { name: 'length', options: { most: 3, unit: 'lines' } },
      /must be one of words, tokens, characters/,
    ],
    ['options for one without any', { name: 'loss', options: { a: 1 } }, /no option 'a'/],
    ['a list instead of options', { name: 'chrf', options: [] as never }, /not a JSON object/],
    ['a broken pattern', { name: 'regex', options: { pattern: '(' } }, /not valid/],
    ['a flag that keeps a place', { name: 'regex', options: { pattern: 'a', flags: 'g' } }, /flags 'g'/],
    ['tools that are none', { name: 'tool-calls', options: { tools: [{ name: 3 }] } }, /Tool 1/],
  ])('refuses %s', async (_, choice, message) => {
    await expect(openEvaluators([choice])).rejects.toThrow(message);
  });

  it('refuses one evaluator with two sets of options, and one that has nothing to learn from', async () => {
    const twice = [3, 4].map((most) => ({ name: 'length', options: { most } }));
    await expect(openEvaluators(twice)).rejects.toThrow(/chosen twice/);
    for (const name of ['markers', 'style-distance']) await expect(openEvaluators([name])).rejects.toThrow(/training answers/);
  });

  it('scores whatever a model writes with known measures between 0 and 1, and never fails', async () => {
    for (const { name, needs } of evaluators) {
      if (needs !== 'answers') continue;
      const [evaluator] = (await openEvaluators([{ name, options: needed[name] ?? {} }], learning)) as [AnswerEvaluator];
      for (const expected of ['{"a": 1, "b": [2]}', 'Yellow.', 'f(a=1)', ...garbage.filter(({ length }) => length < 1000)])
        for (const answer of ['{"a": 1, "b": [2]}', 'Yellow.', 'f(a=1)', ...garbage]) {
          const verdict = evaluator.score({ question: 'What?', expected }, answer);
          for (const [measure, value] of Object.entries(verdict?.measures ?? {})) {
            expect(isMeasure(measure), measure).toBe(true);
            expect(value).toBeGreaterThanOrEqual(0);
            // A distance has no end but that of each of its counts.
            expect(value).toBeLessThanOrEqual(measure === 'style-distance' ? 5 : 1);
          }
        }
    }
  });

  it('takes the loss of supervised tokens for what it is, and its exponential for the perplexity', async () => {
    const [loss] = await openEvaluators(['loss']);
    expect(loss?.needs === 'loss' && loss.score(2)).toEqual({ loss: 2, perplexity: Math.exp(2) });
  });
});

describe('json', () => {
  it.each([
    ['{"a": 1}', {}, 1],
    [' [1, 2] ', {}, 1],
    ['```json\n{"a": 1}\n```', {}, 1],
    ['Here it is:\n```\n{"a": 1}\n```\nAnything else?', {}, 1],
    ['```json\n{"a": 1}\n```', { fenced: false }, 0],
    ['```json\n{"a": 1\n```', {}, 0],
    ['```\n1\n```\n```\n2\n```', {}, 0],
    ['{"a": 1', {}, 0],
    ['{"a": 1} and more', {}, 0],
    ['', {}, 0],
  ])('%j with %j: %d', (answer, options, value) => {
    expect(valueBy('json', options, answer)).toBe(value);
  });

  it('says that the JSON stood in a fenced block', () => {
    expect(scoreBy('json', {}, '```\n{}\n```')).toMatchObject({ state: 'caution', text: 'JSON in a fenced block' });
  });
});

describe('json-fields', () => {
  const evaluator = open('json-fields');
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

describe('values of JSON', () => {
  const expected = '{"day": "2024-03-01", "sum": 12.5, "who": "Ada Lovelace"}';
  it.each([
    ['numbers as values', '{"day": "2024-03-01", "sum": 12.50, "who": "Ada Lovelace"}', {}, 1],
    ['dates as values', '{"day": "2024-03-01T01:00:00+01:00", "sum": 1.25e1, "who": "Ada Lovelace"}', {}, 1],
    ['another day', '{"day": "2024-03-02", "sum": 12.5, "who": "Ada Lovelace"}', {}, 2 / 3],
    ['a text instead of a number', '{"day": "2024-03-01", "sum": "12.5", "who": "Ada Lovelace"}', {}, 2 / 3],
    ['texts as they are', '{"day": "2024-03-01", "sum": 12.5, "who": " ada lovelace."}', {}, 2 / 3],
    ['texts normalized', '{"day": "2024-03-01", "sum": 12.5, "who": " ada  lovelace."}', { text: 'normalized' }, 1],
    ['a fenced block', `\`\`\`json\n${expected}\n\`\`\``, {}, 0],
    ['a fenced block that may be', `\`\`\`json\n${expected}\n\`\`\``, { fenced: true }, 1],
  ])('compares %s', (_, answer, options, value) => {
    expect(valueBy('json-values', options, answer, expected)).toBeCloseTo(value, 12);
  });

  it('takes the 30th of February for no date', () => {
    expect(valueBy('json-values', {}, '{"a": "2024-03-01"}', '{"a": "2024-02-30"}')).toBe(0);
  });

  it('tells precision from recall', () => {
    const score = (answer: string) => scoreBy('json-values', {}, answer, '{"a": 1, "b": 2}')?.measures;
    expect(score('{"a": 1}')).toEqual({ 'json-values': 0.5, 'json-precision': 1 });
    expect(score('{"a": 1, "b": 2, "c": 3, "d": 4}')).toEqual({ 'json-values': 1, 'json-precision': 0.5 });
    expect(score('no')).toEqual({ 'json-values': 0, 'json-precision': 0 });
  });

  it('counts every field of all rows', () => {
    const rows = [
      { expected: '{"a": 1, "b": 2}', answer: '{"a": 1, "b": 3}' },
      { expected: '{"a": 1}', answer: '{"a": 1, "c": 0}' },
      { expected: '{"a": 1}', answer: 'broken' },
      { expected: 'words', answer: '{"a": 1}' },
    ];
    expect(fieldTable(rows)).toEqual([
      { field: 'a', expected: 3, given: 2, right: 2, precision: 1, recall: 2 / 3 },
      { field: 'b', expected: 1, given: 1, right: 0, precision: 0, recall: 0 },
      { field: 'c', expected: 0, given: 1, right: 0, precision: 0, recall: null },
    ]);
  });
});

describe('json-schema', () => {
  const schema = {
    $schema: 'https://json-schema.org/draft/2020-12/schema',
    type: 'object',
    properties: { id: { $ref: '#/$defs/id' }, tags: { prefixItems: [{ type: 'string' }], items: false } },
    required: ['id'],
    additionalProperties: false,
    $defs: { id: { type: 'integer', minimum: 1 } },
  };
  it.each([
    ['{"id": 1, "tags": ["a"]}', 1, 'valid'],
    ['```json\n{"id": 1}\n```', 1, 'valid, in a fenced block'],
    ['{"id": 0}', 0, '/id must be >= 1'],
    ['{"id": 1, "tags": ["a", "b"]}', 0, '/tags must NOT have more than 1 items'],
    ['{"id": 1, "more": 2}', 0, "must NOT have additional properties ('more')"],
    ['{}', 0, "must have required property 'id'"],
    ['{"id": 1', 0, 'broken JSON'],
    ['I do not know.', 0, 'no JSON'],
  ])('%s: %d, %s', (answer, value, text) => {
    expect(scoreBy('json-schema', { schema }, answer)).toMatchObject({ text, measures: { 'json-schema': value } });
  });

  it('asks for own fields only', () => {
    expect(valueBy('json-schema', { schema: { required: ['toString'] } }, '{}')).toBe(0);
  });

  it.each([
    ['a reference to the net', { $ref: 'https://example.com/schema.json' }, /refers to https:\/\/example.com\/schema.json/],
    ['a misspelled keyword', { type: 'object', requird: ['id'] }, /unknown keyword: "requird"/],
    ['another draft', { $schema: 'http://json-schema.org/draft-07/schema#' }, /\$schema is http:\/\/json-schema.org\/draft-07/],
    ['a schema that is none', { type: 'objekt' }, /schema is invalid/],
    ['a list', [], /it is no object/],
    ['an asynchronous one', { $async: true, type: 'object' }, /\$async/],
    ['a broken pattern', { pattern: '(' }, /cannot be used/],
  ])('refuses %s', (_, wrong, message) => {
    expect(() => open({ name: 'json-schema', options: { schema: wrong } })).toThrow(message);
  });

  it('ends what a hostile schema begins, and does not count the row', () => {
    const slow = open({ name: 'json-schema', options: { schema: { pattern: '^(a+)+$' } } });
    expect(slow.score({ question: '', expected: '' }, `"${'a'.repeat(60)}!"`)).toMatchObject({ text: /longer/, measures: {} });
    // Each level of the answer is checked twice as often as the one around it.
    const twice = {
      anyOf: [{ items: { $ref: '#' }, minItems: 9 }, { items: { $ref: '#' }, maxItems: 0 }, { $ref: '#/$defs/deep' }],
    };
    const deep = { allOf: [{ items: { $ref: '#/$defs/deep' } }, { items: { $ref: '#/$defs/deep' } }] };
    const doubled = open({ name: 'json-schema', options: { schema: { ...twice, $defs: { deep } } } });
    const nested = `${'['.repeat(60)}${']'.repeat(60)}`;
    expect(doubled.score({ question: '', expected: '' }, nested)).toMatchObject({ text: /longer/, measures: {} });
  });
});

describe('language', () => {
  const value = async (question: string, answer: string, options: object = {}) => {
    const [evaluator] = (await openEvaluators([{ name: 'language', options: { ...options } }])) as [AnswerEvaluator];
    return evaluator.score({ question, expected: '' }, answer)?.measures.language ?? null;
  };
  it.each([
    ['What is the capital of France?', 'The capital of France is Paris.', 1],
    ['What is the capital of France?', 'La capitale de la France est Paris.', 0],
    ['Was ist die Hauptstadt von Frankreich?', 'Die Hauptstadt von Frankreich ist Paris.', 1],
    ['Was ist die Hauptstadt von Frankreich?', 'The capital of France is Paris.', 0],
    ['フランスの首都はどこですか。', 'フランスの首都はパリです。', 1],
    ['フランスの首都はどこですか。', 'The capital of France is Paris.', 0],
    ['What is the capital of France?', 'Paris.', null],
    ['What is the capital of France?', '', null],
    ['What is the capital of France?', '{"a": 1, "b": [2, 3]}', null],
    ['What is the capital of France?', '```python\nfor number in range(10): print(number)\n```', null],
    ['12 * 12?', 'The answer is one hundred and forty-four.', null],
  ])('%s %s: %j', async (question, answer, expected) => {
    expect(await value(question, answer)).toBe(expected);
  });

  it('asks for one language for all answers where it is named, and refuses one that it does not know', async () => {
    expect(await value('Qualquer pergunta?', 'The capital of France is Paris.', { wanted: 'en' })).toBe(1);
    expect(await value('Any question?', 'La capitale de la France est Paris.', { wanted: 'en' })).toBe(0);
    await expect(value('', '', { wanted: 'xx' })).rejects.toThrow(/language 'xx' is not known/);
  });
});

describe('checks of texts', () => {
  it.each([
    ['exact-match', {}, 'Yellow', 'Yellow.', 0],
    ['exact-match', { text: 'normalized' }, ' yellow', 'Yellow.', 1],
    ['contains', {}, 'It is Yellow.', 'Yellow', 1],
    ['contains', {}, 'It is yellow.', 'Yellow', 0],
    ['contains', { text: 'normalized' }, 'It is yellow.', 'Yellow!', 1],
    ['contains', { texts: ['a', 'z'] }, 'a b', '', 0.5],
    ['contains', { texts: ['a', 'z'], any: true }, 'a b', '', 1],
    ['contains', {}, 'anything', '', null],
    ['not-contains', { texts: ['sorry', 'AI'] }, 'Certainly.', '', 1],
    ['not-contains', { texts: ['sorry', 'AI'] }, 'As an AI, no.', '', 0],
    ['not-contains', { texts: ['SORRY'], text: 'normalized' }, 'I am sorry', '', 0],
    ['regex', { pattern: '^\\p{Lu}.*\\.$' }, 'Ärger.', '', 1],
    ['regex', { pattern: '^\\p{Lu}.*\\.$' }, 'ärger.', '', 0],
    ['regex', { pattern: 'sorry', flags: 'i', absent: true }, 'Sorry!', '', 0],
    ['regex', { pattern: 'sorry', flags: 'i', absent: true }, 'Fine.', '', 1],
    ['length', { most: 3 }, 'one two three', '', 1],
    ['length', { most: 3 }, 'one, two - three: four', '', 0],
    ['length', { most: 3, least: 2 }, 'one', '', 0],
    ['length', { most: 4 }, '東京は日本の首都です', '', 0],
    ['length', { most: 1, unit: 'characters' }, '🙂', '', 1],
    ['refusal', {}, "I'm sorry, but I can't help with that.", 'I cannot do that.', 1],
    ['refusal', {}, 'Sure: here is how.', 'I cannot do that.', 0],
    ['refusal', {}, 'I can’t help with that.', 'Paris.', 0],
    ['refusal', {}, 'Leider kann ich das nicht tun.', 'Das kann ich nicht.', 1],
    ['refusal', {}, 'You said I cannot swim, but I can.', 'Paris.', 1],
    ['refusal', {}, 'Paris.', '', null],
    ['refusal', { wanted: 'never' }, 'No puedo ayudar con eso.', '', 0],
    ['refusal', { wanted: 'always', phrases: ['no way'] }, 'No way!', '', 1],
    ['rouge-l', {}, 'anything', '', null],
    ['chrf', {}, 'Yellow.', 'Yellow.', 1],
  ])('%s with %j of %j for %j: %j', (name, options, answer, expected, value) => {
    expect(valueBy(name, options, answer, expected)).toBe(value);
  });

  it('counts the tokens that a model wrote, and says nothing where none did', () => {
    const options = { most: 3, unit: 'tokens' };
    expect([2, 3, 4].map((tokens) => valueBy('length', options, 'a', '', tokens))).toEqual([1, 1, 0]);
    expect(scoreBy('length', options, 'a')).toEqual({
      state: 'caution',
      text: expect.stringMatching(/not known/) as string,
      measures: {},
    });
  });

  it('says of a pattern what it means to people, where that is given', () => {
    const words = { passes: 'the whole voice', fails: 'not the whole voice' };
    const textBy = (options: object, answer: string) => scoreBy('regex', { pattern: '^Hello', ...options }, answer)?.text;
    expect([textBy(words, 'Hello.'), textBy(words, 'Hi.')]).toEqual([words.passes, words.fails]);
    expect([textBy({ ...words, absent: true }, 'Hello.'), textBy({ absent: true }, 'Hello.')]).toEqual([
      words.fails,
      'matches',
    ]);
  });

  it('ends a pattern that backtracks without end, and does not count the row', () => {
    const begun = performance.now();
    expect(scoreBy('regex', { pattern: '^(a+)+$' }, `${'a'.repeat(60)}!`)).toMatchObject({
      text: /longer than 1000 ms/,
      measures: {},
    });
    expect(performance.now() - begun).toBeLessThan(10_000);
    expect(valueBy('regex', { pattern: '^(a+)+$' }, 'aaa')).toBe(1);
  });

  it('hands on what fails in bounded work', () => {
    expect(() => within(() => JSON.parse('{') as unknown)).toThrow(SyntaxError);
    expect(within(() => 7)).toEqual({ value: 7 });
  });

  it('computes ROUGE-L and chrF2 as rouge-score and sacrebleu do', () => {
    const cases = JSON.parse(readFileSync(join(import.meta.dirname, '../golden/text-scores.json'), 'utf8')) as {
      readonly rougeL: readonly [string, string, number][];
      readonly chrf: readonly [string, string, number][];
    };
    for (const [expected, answer, value] of cases.rougeL) expect(rougeLOf(expected, answer)).toBeCloseTo(value, 12);
    for (const [expected, answer, value] of cases.chrf) expect(chrfOf(expected, answer)).toBeCloseTo(value, 12);
  });
});

describe('voice', () => {
  it('learns the markers of the training answers, and says how well it tells them apart', () => {
    const evaluator = open('markers');
    expect(evaluator.notes?.[0]).toMatch(/in 100 % of held-out cases .* for the voice speak /);
    const [own, other] = ['Ahoy! Fair winds, matey.', 'The answer is as you asked. Would you like to know more?'].map(
      (answer) => evaluator.score({ question: '', expected: '' }, answer)!.measures.markers!,
    );
    expect(own).toBeGreaterThan(0.8);
    expect(other).toBeLessThan(0.2);
  });

  it('is at chance where nothing tells the answers apart', () => {
    const same = learning.map(({ question, base }) => ({ question, trained: base, base }));
    const evaluator = kindNamed('markers').open({}, same) as AnswerEvaluator;
    expect(Number(/in (\d+) %/.exec(evaluator.notes![0]!)![1])).toBeLessThanOrEqual(50);
  });

  it('refuses to learn from nine rows', () => {
    expect(() => kindNamed('markers').open({}, learning.slice(0, 9))).toThrow(/there are 9 rows/);
  });

  it('measures how far the style is from that of the training answers', () => {
    const [near, far] = ['Ahoy! Number 7, matey.', '**No**\n\n- a\n- b\n- (c)\n- d; e: "f" 🙂🙂'].map((answer) =>
      valueBy('style-distance', {}, answer)!,
    );
    expect(near).toBeLessThan(0.5);
    expect(far).toBeGreaterThan(1);
  });
});

describe('a script of a person', () => {
  const verdict = (code: string, answer = 'a b', options: object = {}) =>
    scoreBy('script', { code, ...options }, answer, 'A B');

  it('scores by an expression, or by a function of a file', () => {
    expect(verdict('answer === expected.toLowerCase()')).toMatchObject({ state: 'good', measures: { script: 1 } });
    expect(verdict('0.25')).toMatchObject({ state: 'caution', text: '0.25', measures: { script: 0.25 } });
    const file = `function words(text) { return text.split(' ').length; }
      function score({ answer }) { return words(answer) === 2; }`;
    expect(verdict(file)).toMatchObject({ measures: { script: 1 } });
    expect(verdict(file, 'a')).toMatchObject({ state: 'bad', measures: { script: 0 } });
    expect(verdict('function score({ answer, expected }) { return answer === expected; }', 'A B')).toMatchObject({
      state: 'good',
    });
    expect(verdict('null')).toBeNull();
  });

  it('that fails, returns no score or never ends does not count the row, and the next row is scored', () => {
    for (const code of ['missing', '7', "'yes'", 'answer.nothing.at', '(() => { throw null; })()', '() => 1'])
      expect(verdict(code), code).toMatchObject({ state: 'caution', measures: {} });
    const looping = open({
      name: 'script',
      options: { code: "answer === 'loop' ? (() => { for (;;); })() : 1", milliseconds: 200 },
    });
    expect(looping.score({ question: '', expected: '' }, 'loop')).toMatchObject({
      measures: {},
      text: expect.stringContaining('script') as string,
    });
    expect(looping.score({ question: '', expected: '' }, 'b')).toMatchObject({ measures: { script: 1 } });
  });

  it('has a limit of memory', { timeout: 60_000 }, () => {
    const hungry = "answer === 'eat' ? (() => { const all = []; for (;;) all.push(new Array(1e5).fill(1)); })() : 1";
    const evaluator = open({ name: 'script', options: { code: hungry, milliseconds: 2000 } });
    expect(evaluator.score({ question: '', expected: '' }, 'eat')).toMatchObject({ measures: {} });
    expect(evaluator.score({ question: '', expected: '' }, 'b')).toMatchObject({ measures: { script: 1 } });
  });

  it.each(['process', 'require', 'fetch', 'setTimeout', 'globalThis.constructor?.constructor', 'import.meta'])(
    'finds no %s',
    (what) => {
      if (what === 'import.meta') expect(() => verdict(what)).toThrow(/cannot be used/);
      else
        expect(
          verdict(`typeof (${what}) === 'undefined' || typeof (${what})('return process') === 'undefined'`)?.measures.script,
        ).not.toBe(0);
    },
  );

  it('cannot make code of texts, nor load a module', () => {
    for (const code of ["eval('1')", "new Function('return 1')()", "(() => {}).constructor('return process')().pid"])
      expect(verdict(code), code).toMatchObject({ measures: {} });
    expect(verdict("(import('node:fs').then(() => 1, () => 1), 0.5)")?.measures.script ?? 0.5).toBe(0.5);
  });

  it('that is no code is refused', () => {
    for (const code of ['', 'a b', 'return 1']) expect(() => verdict(code), code).toThrow(/cannot be used/);
  });
});
