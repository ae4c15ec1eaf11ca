import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import type { ChatMessage, JobMessage, JobSpec } from '../contract.ts';
import { runEvaluate } from './evaluate.ts';
import type { JobPort } from './port.ts';

const work = mkdtempSync(join(tmpdir(), 'lowrank-evaluate-'));
afterAll(() => rmSync(work, { recursive: true }));

const row = (question: string, answer: string) => ({
  messages: [
    { role: 'user', content: question },
    { role: 'assistant', content: answer },
  ] satisfies ChatMessage[],
});
function dataOf(name: string, rows: readonly object[]): string {
  const path = join(work, name);
  writeFileSync(path, rows.map((value) => `${JSON.stringify(value)}\n`).join(''));
  return path;
}
const rows = dataOf('rows.jsonl', [row('Blue?', '{"colour": "blue"}'), row('Say it.', 'It.'), row('Two?', '{"n": 2}')]);

/** Evaluates the tiny model, and keeps what is sent on the way. */
async function evaluate(
  change: Partial<Extract<JobSpec, { kind: 'evaluate' }>>,
  stopWhen: (sent: readonly JobMessage[]) => boolean = () => false,
) {
  const sent: JobMessage[] = [];
  const port: JobPort = {
    send: (message) => sent.push(message),
    get stopRequested() {
      return stopWhen(sent);
    },
    onRequest: () => {},
    untilStopped: () => new Promise(() => {}),
  };
  const given = { model: { path: 'resources/tiny/model' }, data: { paths: [rows] } };
  const where = { adapterPath: null, cacheDir: join(work, 'cache') };
  const ended = runEvaluate({ kind: 'evaluate', ...given, ...where, ...change }, port);
  return { sent, ended, result: await ended };
}
const answersIn = (sent: readonly JobMessage[]) => sent.filter((message) => message.type === 'answered');

describe('an evaluation', () => {
  it('measures the loss alone where nothing else is asked for, over the tokens of all rows', async () => {
    const { result, sent } = await evaluate({});
    expect(Object.keys(result.measures)).toEqual(['loss', 'perplexity']);
    const tokens = result.rows.reduce((sum, one) => sum + one.supervisedTokens, 0);
    const mean = result.rows.reduce((sum, one) => sum + one.measures.loss! * one.supervisedTokens, 0) / tokens;
    expect(result.supervisedTokens).toBe(tokens);
    expect(result.measures.loss).toEqual({ value: expect.closeTo(mean, 10) as number, n: 3 });
    expect(result.measures.perplexity!.value).toBe(Math.exp(result.measures.loss!.value));
    expect(result.rows.map((one) => [one.row, one.answer])).toEqual([0, 1, 2].map((index) => [index, null]));
    expect(answersIn(sent)).toEqual([]);
  });

  it('answers each row once, whatever number of evaluators scores it, and says the measures of each row', async () => {
    const names = ['loss', 'json-fields', 'json-values', 'exact-match'];
    const { result, sent } = await evaluate({ evaluators: names, maxTokens: 4 });
    expect(answersIn(sent)).toEqual(result.rows.map(({ row, answer }) => ({ type: 'answered', row, answer })));
    expect(answersIn(sent)).toHaveLength(3);
    expect(result.rows.map(({ measures }) => Object.keys(measures))).toEqual([
      ['loss', 'perplexity', 'json-fields', 'json-values', 'json-precision', 'exact-match'],
      ['loss', 'perplexity', 'exact-match'],
      ['loss', 'perplexity', 'json-fields', 'json-values', 'json-precision', 'exact-match'],
    ]);
    // The tiny model knows nothing.
    expect(result.measures).toMatchObject({ 'json-fields': { value: 0, n: 2 }, 'exact-match': { value: 0, n: 3 } });
    expect(result.rows[1]!.answer).toMatchObject({ question: 'Say it.', expected: 'It.' });
    expect(result.measures.loss).toEqual((await evaluate({})).result.measures.loss);
    const phases = sent.flatMap((message) => (message.type === 'progress' ? [message.progress.phase] : []));
    expect(phases).toContain('Answering');
  });

  it('asks with examples in front of the question where they are given', async () => {
    const settings = { evaluators: ['exact-match'], maxTokens: 8 };
    const answers = async (shots: readonly (readonly ChatMessage[])[]) =>
      (await evaluate({ ...settings, shots })).result.rows.map(({ answer }) => answer!.text);
    const alone = await answers([]);
    expect(alone).toEqual((await evaluate(settings)).result.rows.map(({ answer }) => answer!.text));
    const shots = [row('Green?', '{"colour": "green"}').messages, row('Three?', '{"n": 3}').messages];
    expect(await answers(shots)).not.toEqual(alone);
  });

  it('names the rows that cannot be asked, and measures the others', async () => {
    const data = { paths: [dataOf('mixed.jsonl', [{ text: 'A text.' }, row('Blue?', '{"colour": "blue"}')])] };
    const { result } = await evaluate({ data, evaluators: ['loss', 'exact-match'], maxTokens: 4 });
    expect(result.rows[0]).toMatchObject({ answer: null, measures: { loss: expect.any(Number) as number } });
    expect(result.measures).toMatchObject({ loss: { n: 2 }, 'exact-match': { n: 1 } });
    expect(result.notes.join()).toContain('mixed.jsonl, line 1: the row was not answered because nothing precedes');
    const long = { paths: [dataOf('long.jsonl', [row('word '.repeat(3000), 'x'), row('Blue?', 'y')])] };
    const { notes } = (await evaluate({ data: long, evaluators: ['exact-match'], maxTokens: 4 })).result;
    expect(notes.join()).toMatch(/long.jsonl, line 1: the row was not answered because its prompt has \d+ tokens/);
  });

  it('names the files that are others than in the version of the data set, and goes on', async () => {
    const { notes, measures } = (await evaluate({ data: { paths: [rows], hashes: { [rows]: 'of other rows' } } })).result;
    expect(notes.join()).toContain(`${rows} has changed since the version of the data set was made.`);
    expect(measures.loss!.n).toBe(3);
    expect((await evaluate({})).result.notes.join()).not.toContain('has changed');
  });

  it('ends where it is asked to, also in the middle of an answer', async () => {
    const stopped = evaluate({ evaluators: ['exact-match'] }, (sent) => answersIn(sent).length === 1);
    await expect(stopped).rejects.toMatchObject({ code: 'stopped' });
  });

  it('refuses an evaluator that is not in the table before it reads anything', async () => {
    await expect(evaluate({ evaluators: ['loss', 'rouge'], model: { path: 'nowhere' } })).rejects.toMatchObject({
      code: 'request-invalid',
      message: expect.stringContaining("'rouge'") as string,
    });
  });

  it('needs a tokenizer for answers and none for the loss', async () => {
    const golden = 'engine/golden/llama-tied';
    const given = { model: { path: join(golden, 'model') }, data: { paths: [join(golden, 'rows.jsonl')] } };
    await expect(evaluate({ ...given, evaluators: ['exact-match'] })).rejects.toMatchObject({ code: 'tokenizer-missing' });
    expect((await evaluate(given)).result.measures.loss!.n).toBeGreaterThan(0);
  });
});
