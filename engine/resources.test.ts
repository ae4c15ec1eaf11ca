/** The rows in the box, as the embedded model reads them and as their own evaluators score their answers. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { EvaluatorChoice } from './contract.ts';
import type { TokenRow } from './data/row.ts';
import { openTokenizer } from './data/tokenizer.ts';
import { kindNamed, openEvaluators } from './evaluate/evaluators.ts';
import type { AnswerEvaluator } from './evaluate/evaluator.ts';
import { nameOfChoice } from './evaluate/evaluator-choice.ts';
import { verdictOf } from './evaluate/judge.ts';
import { questionOf } from './evaluate/questions.ts';
import { openModel } from './models/open.ts';
import { requireRecipe } from './recipe/check.ts';
import { embeddedModelPath, readSample, resourcesDir, sampleFiles, sampleNames } from './resources.ts';
import { readRows } from './testing/read-rows.ts';
import { reportOfRows } from './testing/report-of-rows.ts';

const { spec, tokenizerSource } = openModel(embeddedModelPath());
const tokenizer = openTokenizer(tokenizerSource!);
const read = async (path: string) => readRows({ paths: [path] }, tokenizer, spec.vocabularySize);
const json = (path: string) => JSON.parse(readFileSync(path, 'utf8')) as Record<string, unknown>;

/** Scores the rows' own answers. Evaluators that learn a voice need a model's answers and are left out. */
async function ownAnswers(rows: readonly TokenRow[], choices: readonly EvaluatorChoice[]) {
  const opened = await openEvaluators(choices.filter((one) => !kindNamed(nameOfChoice(one)).learns));
  const asked = await Promise.all(rows.map(async (row) => (await questionOf(row, tokenizer))!));
  return asked.map((row) => ({
    row,
    verdicts: opened.map((evaluator) => verdictOf(evaluator as AnswerEvaluator, row, row.expected)),
  }));
}

describe.each(sampleNames)('the sample %s', (name) => {
  const files = sampleFiles(name);

  it('has rows that the embedded model reads whole, and no test row that is nearly one of training', async () => {
    const [train, validate, test] = await Promise.all([files.train, files.validate, files.test].map(read));
    const { maxLength } = requireRecipe(json(files.recipe));
    for (const [rows, others] of [
      [train!, test!],
      [train!, validate!],
      [validate!, test!],
    ] as const) {
      const { checks } = reportOfRows(rows, others.rows, maxLength, { spec, tokenizer });
      expect(checks.filter(({ severity }) => severity === 'warning' || severity === 'blocking')).toEqual([]);
    }
    expect([train!.rows.length >= 200, validate!.rows.length, test!.rows.length]).toEqual([true, 60, 120]);
    const roles = train!.rows.map((row) => (row as TokenRow).messages!.map(({ role }) => role));
    expect(roles.some((of) => of[0] === 'system')).toBe(true);
    expect(roles.some((of) => of.length > 3)).toBe(true);
  });

  it('has answers that its own evaluators find right', async () => {
    const { evaluators, decisive, maxTokens } = readSample(name).evaluation;
    expect(evaluators.map(nameOfChoice)).toEqual(expect.arrayContaining([...decisive]));
    const { rows } = await read(files.test);
    for (const { row, verdicts } of await ownAnswers(rows as TokenRow[], evaluators)) {
      expect(verdicts.filter((verdict) => verdict?.state !== 'good')).toEqual([]);
      expect(row.answer.length).toBeLessThanOrEqual(maxTokens);
    }
  });
});

it.each([
  [
    'json-orders',
    'has the form of the answer and other values',
    '{"intent": "return", "product": "x", "quantity": 1, "urgent": true}',
  ],
  ['house-voice', 'begins like the voice and goes on as the base would', 'Hello there. I am sorry to hear that! Take care.'],
  ['brief-answers', 'is brief and in the language, and no answer', 'Für den Kuchen braucht man drei Eier.'],
] as const)('the verdict on %s is by an evaluator that does not fall for what %s', async (name, _, answer) => {
  const { rows } = await read(sampleFiles(name).test);
  const question = (await questionOf(rows[0] as TokenRow, tokenizer))!;
  const [first] = await openEvaluators(readSample(name).evaluation.evaluators.slice(0, 1));
  expect(verdictOf(first as AnswerEvaluator, question, question.expected)?.state).toBe('good');
  expect(verdictOf(first as AnswerEvaluator, question, answer)?.state).not.toBe('good');
});

it('the orders have one schema, as a file and as the option of its evaluator', () => {
  const { evaluators } = readSample('json-orders').evaluation;
  const schema = json(join(resourcesDir(), 'samples', 'json-orders', 'schema.json'));
  expect(evaluators).toContainEqual({ name: 'json-schema', options: { schema } });
});

it('the general set has answers that its own evaluators find right', async () => {
  const folder = join(resourcesDir(), 'general');
  const { parts } = json(join(folder, 'evaluate.json')) as {
    parts: readonly { file: string; evaluators: EvaluatorChoice[] }[];
  };
  let count = 0;
  for (const { file, evaluators } of parts) {
    const { rows } = await read(join(folder, file));
    count += rows.length;
    for (const { verdicts } of await ownAnswers(rows as TokenRow[], evaluators))
      expect(verdicts.filter((verdict) => verdict?.state !== 'good')).toEqual([]);
  }
  expect(count).toBe(70);
});
