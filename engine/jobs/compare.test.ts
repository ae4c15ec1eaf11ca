import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import type {
  AnsweredQuestion,
  ChatMessage,
  Contestant,
  EvaluationPlan,
  EvaluationReport,
  JobMessage,
  JobSpec,
} from '../contract.ts';
import { contestantName } from '../evaluate/contestants.ts';
import { runCompare } from './compare.ts';
import { answeredIn, answersIn, reportIn } from './evaluation-folder.ts';
import type { JobPort } from './port.ts';

const work = mkdtempSync(join(tmpdir(), 'lowrank-compare-'));
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
const colours = ['red', 'blue', 'green', 'grey', 'black', 'white', 'pink', 'brown', 'gold', 'teal', 'plum', 'lime'];
const train = dataOf(
  'train.jsonl',
  colours.map((name, i) => row(`Colour ${name}?`, JSON.stringify({ colour: name, n: i }))),
);
const test = dataOf('test.jsonl', [
  row('Blue?', '{"colour": "blue", "n": 1}'),
  row('Say it.', 'It.'),
  row('Two?', '{"colour": "two", "n": 2}'),
  row('Colour red?', JSON.stringify({ colour: 'red', n: 0 })),
]);
const validation = dataOf('validation.jsonl', [row('Green?', '{"colour": "green", "n": 2}'), row('Five?', '{"n": 5}')]);
const golden = 'engine/golden/llama-tied';

type CompareSpec = Extract<JobSpec, { kind: 'compare' }>;

/** Compares contestants with the tiny model, in a folder of its own. */
async function compare(
  contestants: readonly Contestant[],
  change: Partial<CompareSpec> = {},
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
  const out = change.out === undefined ? mkdtempSync(join(work, 'out-')) : change.out;
  const spec: CompareSpec = {
    ...{
      kind: 'compare',
      model: { path: 'resources/tiny/model' },
      data: { paths: [test] },
      train: { data: { paths: [train] } },
    },
    contestants: contestants.map(({ adapter: _, ...more }) => ({ ...more, name: contestantName(more, '') })),
    ...{ evaluators: ['exact-match', 'json'], maxTokens: 6, cacheDir: join(work, 'cache') },
    ...{ ...change, out },
  };
  const result = await runCompare(spec, port);
  const read = <T>(path: string) => JSON.parse(readFileSync(path, 'utf8')) as T;
  return {
    ...{ sent, result, out },
    report: () => read<EvaluationReport>(reportIn(out!)),
    answered: () => read<AnsweredQuestion[]>(answeredIn(out!)),
  };
}
const answersIn_ = (sent: readonly JobMessage[]) => sent.filter((message) => message.type === 'answered');
const withoutTimes = ({ contestants, rows, hashes: { answers: _, ...hashes }, ...report }: EvaluationReport) => ({
  ...report,
  hashes,
  contestants: contestants.map((one) => ({ ...one, secondsPerAnswer: null })),
  rows: rows.map((one) => ({ ...one, seconds: null })),
});

const field: readonly Contestant[] = [
  {},
  { shots: { count: 2 } },
  { shots: { count: 2, rule: 'nearest' } },
  { schema: true },
  { shots: { count: 1 }, schema: true },
];

describe('a comparison', () => {
  it('lets all contestants answer the same rows, and reports them', async () => {
    const { report, answered, sent } = await compare(field);
    const { contestants, pairs, rows, notes, guards, hashes } = report();
    const names = ['base', 'few-shot=2', 'few-shot-nearest=2', 'schema', 'few-shot=1+schema'];
    expect(contestants.map(({ name }) => name)).toEqual(names);
    expect(rows).toHaveLength(5 * 4);
    expect(pairs).toHaveLength(10 * 2);
    expect(answersIn_(sent)).toHaveLength(20);
    expect(sent.find(({ type }) => type === 'asked')).toMatchObject({ rows: 4, answers: 20, rowsHash: hashes['rows'] });
    const [base, shots] = contestants;
    expect(shots!.promptTokens!).toBeGreaterThan(base!.promptTokens!);
    expect(notes.join()).toMatch(/schema was learned from 12 training answers: .*"required":\["colour","n"\]/);
    expect(guards).toMatchObject({ duplicates: 1, rows: [3], sentences: [expect.stringContaining('1 row of the test rows')] });
    expect(answered()).toHaveLength(4);
    expect(answered()[0]).toMatchObject({ question: 'Blue?', expected: '{"colour": "blue", "n": 1}' });
    expect(answered()[0]!.answers.map(({ contestant }) => contestant)).toEqual(names);
    for (const { row: index, contestant, answer } of rows)
      expect(answered()[index]!.answers.find((one) => one.contestant === contestant)!.text).toBe(answer);
  });

  it('stopped and resumed is a whole one', async () => {
    const whole = await compare(field);
    const out = mkdtempSync(join(work, 'stopped-'));
    const stopped = compare(field, { out }, (sent) => answersIn_(sent).length >= 7);
    await expect(stopped).rejects.toMatchObject({ code: 'stopped' });
    expect(existsSync(reportIn(out))).toBe(false);
    // As after a crash: the last line has no end.
    const kept = readFileSync(answersIn(out), 'utf8');
    expect(kept.trimEnd().split('\n')).toHaveLength(7);
    writeFileSync(answersIn(out), `${kept}{"key":"ab`);
    const resumed = await compare(field, { out });
    expect(withoutTimes(resumed.report())).toEqual(withoutTimes(whole.report()));
    const lines = readFileSync(answersIn(out), 'utf8');
    expect(lines.startsWith(kept)).toBe(true);
    expect(lines.trimEnd().split('\n')).toHaveLength(20);
  });

  it('holds answers to the schema where they are constrained', async () => {
    const { answered } = await compare([{ constrained: true }, { shots: { count: 1 }, constrained: true }], { maxTokens: 40 });
    for (const { answers } of answered())
      for (const { text } of answers) expect(Object.keys(JSON.parse(text!) as object).toSorted()).toEqual(['colour', 'n']);
    const tools = [{ type: 'function', function: { name: 'paint', parameters: { type: 'object', properties: {} } } }];
    const called = await compare([{ constrained: true }], { maxTokens: 40, schema: tools });
    for (const { answers } of called.answered()) expect(JSON.parse(answers[0]!.text!)).toMatchObject({ name: 'paint' });
  });

  it('measures the loss of who is asked as in training, and no other', async () => {
    const { report } = await compare([{}, { shots: { count: 1 } }], { evaluators: ['loss', 'exact-match'] });
    const { contestants, rows } = report();
    expect(contestants.map(({ measures }) => [measures.loss?.n, measures['exact-match']?.n])).toEqual([
      [4, 4],
      [undefined, 4],
    ]);
    expect(rows).toHaveLength(8);
  });

  it.each<Contestant>([
    { shots: { count: 1 } },
    { schema: true },
    { constrained: true },
    { endpoint: { url: 'http://127.0.0.1:1', model: 'm' } },
  ])('refuses to measure nothing of %j', async (contestant) => {
    await expect(compare([{}, contestant], { evaluators: ['loss'] })).rejects.toMatchObject({ code: 'request-invalid' });
  });

  it.each(['function score() { throw new Error("broken"); }', 'function score() { return "text"; }'])(
    'says that %s scored nothing',
    async (code) => {
      const { report } = await compare([{}], { evaluators: [{ name: 'script', options: { code } }], maxTokens: 2 });
      expect(report().notes).toContainEqual(expect.stringMatching(/^script did not score 4 of 4 answers of base: \S/));
    },
  );

  it('needs no evaluator of answers where all are asked as in training', async () => {
    const { report } = await compare([{}], { evaluators: ['loss'] });
    expect(report().rows).toHaveLength(4);
  });

  it('measures how likely options are, with probabilities that are held against the rows', async () => {
    const kinds = ['order', 'return', 'cancel'];
    const labelled = dataOf(
      'labelled.jsonl',
      [...Array(12).keys()].map((i) => row(`Message ${i}`, kinds[i % 3]!)),
    );
    const evaluators = [{ name: 'choice', options: { of: kinds } }];
    const change = { data: { paths: [labelled] }, evaluators };
    const { report, sent } = await compare([{}, { shots: { count: 1 } }], change);
    const { contestants, rows } = report();
    expect(answersIn_(sent)).toEqual([]);
    for (const { name, measures, calibration } of contestants) {
      const own = rows.filter(({ contestant }) => contestant === name);
      expect(own).toHaveLength(12);
      expect(measures.choice!.value).toBeCloseTo(
        own.reduce((sum, one) => sum + one.scores.choice! / 12, 0),
        9,
      );
      expect(measures.brier!.value).toBeCloseTo(
        own.reduce((sum, one) => sum + one.scores.brier! / 12, 0),
        9,
      );
      // The calibration error is that of the confidences in fifteen bins.
      const bins = Map.groupBy(own, ({ confidence }) => Math.ceil(confidence! * 15));
      const apart = [...bins.values()].map((bin) =>
        Math.abs(bin.reduce((sum, one) => sum + one.confidence! - one.scores.choice!, 0)),
      );
      expect(calibration!.error).toBeCloseTo(
        apart.reduce((sum, one) => sum + one / 12, 0),
        9,
      );
      expect(calibration!.temperature).toBeGreaterThan(0);
    }
    const learned = await compare([{}], { ...change, evaluators: ['choice'] });
    expect(learned.report().contestants[0]!.measures.choice).toEqual(contestants[0]!.measures.choice);
    await expect(compare([{}], { evaluators: [{ name: 'choice', options: { of: ['one'] } }] })).rejects.toThrow(/1 options/);
  });

  it('chooses the number of examples on the validation rows', async () => {
    const auto: Contestant = { shots: { count: 'auto' } };
    const { report } = await compare([{}, auto], { validation: { data: { paths: [validation] } } });
    expect(report().notes.join()).toMatch(/few-shot=auto has [1358] examples: the best of 1, 3, 5, 8 on 2 validation rows/);
  });

  it('lets evaluators learn a voice from training answers and the base’s own', async () => {
    const { report } = await compare([{}], { evaluators: ['markers', 'style-distance'], learningRows: 10 });
    expect(report().contestants[0]!.measures).toMatchObject({ markers: { n: 4 }, 'style-distance': { n: 4 } });
    expect(report().notes.join()).toContain('held-out cases');
    const none = compare([{}], { evaluators: ['markers'], train: undefined as never });
    await expect(none).rejects.toMatchObject({ code: 'request-invalid' });
  });

  it('says beforehand what it takes, and stores nothing', async () => {
    const { result, sent } = await compare(field, { out: null });
    const plan = result as EvaluationPlan;
    expect(plan).toMatchObject({ rows: 4, guards: { duplicates: 1 }, schema: { type: 'object' } });
    expect(plan.contestants.map(({ name, unasked }) => [name, unasked])).toEqual(
      ['base', 'few-shot=2', 'few-shot-nearest=2', 'schema', 'few-shot=1+schema'].map((name) => [name, 0]),
    );
    expect(plan.seconds).toBeGreaterThan(0);
    expect(answersIn_(sent)).toEqual([]);
  });

  it('refuses a schema that can neither be read nor learned', async () => {
    const texts = dataOf('texts.jsonl', [row('One?', 'No JSON.')]);
    for (const change of [{ train: { data: { paths: [texts] } } }, { schemaFile: texts.replace('texts', 'none') }])
      await expect(compare([{ schema: true }], change)).rejects.toMatchObject({ message: expect.any(String) as string });
  });

  it('compares an adapter with the base, with what its training cost', async () => {
    const adapter = join(work, 'run', 'adapter');
    mkdirSync(join(work, 'run'));
    cpSync(join(golden, 'adapter'), adapter, { recursive: true });
    const out = mkdtempSync(join(work, 'adapter-'));
    const { report } = await compare([], {
      ...{ model: { path: join(golden, 'model') }, data: { paths: [join(golden, 'rows.jsonl')] }, evaluators: ['loss'], out },
      train: { data: { paths: [join(golden, 'rows.jsonl')] } },
      contestants: [{ name: 'base' }, { name: 'mine', adapter: { path: adapter, weight: 1 } }],
    });
    const { contestants, pairs, guards, verdict } = report();
    expect(contestants.map(({ trained, training }) => [trained, training === null])).toEqual([
      [false, true],
      [true, false],
    ]);
    expect(contestants[1]!.training!.bytes).toBeGreaterThan(0);
    expect(pairs).toHaveLength(1);
    expect(guards!.duplicates).toBeGreaterThan(0);
    expect(verdict.sentence).not.toBe('');
  });
});

describe('the general set', () => {
  it('is answered by base and adapters part by part, and says what broke', async () => {
    const resources = join(work, 'resources');
    mkdirSync(join(resources, 'general'), { recursive: true });
    const parts = [
      { name: 'questions', title: 'Plain questions', file: 'questions.jsonl', evaluators: ['contains'] },
      { name: 'json', title: 'JSON of other kinds', file: 'json.jsonl', evaluators: ['json', 'chrf'] },
    ];
    for (const { file } of parts)
      writeFileSync(join(resources, 'general', file), `${JSON.stringify(row('What is it?', '{"a": 1}'))}\n`);
    writeFileSync(join(resources, 'general', 'evaluate.json'), JSON.stringify({ maxTokens: 4, parts }));
    const before = process.env['LOWRANK_RESOURCES'];
    process.env['LOWRANK_RESOURCES'] = resources;
    try {
      const { general } = (await compare([{}, { schema: true }], { general: true })).report();
      expect(general!.parts.map(({ name }) => name)).toEqual(['questions', 'json']);
      // Only the base is asked without anything added, and without an adapter nothing can have broken.
      expect(general!.parts[1]).toMatchObject({ contestants: [{ name: 'base' }], pairs: [], rows: [{ contestant: 'base' }] });
      expect(Object.keys(general!.parts[1]!.contestants[0]!.measures)).toEqual(['json', 'chrf']);
      expect(general!.broke).toEqual([]);
    } finally {
      if (before === undefined) delete process.env['LOWRANK_RESOURCES'];
      else process.env['LOWRANK_RESOURCES'] = before;
    }
  });
});

describe('an endpoint', () => {
  const asked: unknown[] = [];
  const server = createServer((request, response) => {
    let body = '';
    request.on('data', (chunk: Buffer) => (body += chunk.toString()));
    request.on('end', () => {
      const { messages, ...more } = JSON.parse(body) as { messages: ChatMessage[]; model: string };
      asked.push({ url: request.url, key: request.headers.authorization, messages, ...more });
      if (more.model === 'broken') response.writeHead(500).end('out of order');
      else if (more.model === 'elsewhere') response.writeHead(302, { location: 'http://127.0.0.1:1/' }).end();
      else if (more.model === 'garbage') response.end('<html>');
      else
        response.end(
          JSON.stringify({
            choices: [{ message: { role: 'assistant', content: messages.at(-1)!.content === 'Say it.' ? 'It.' : '{}' } }],
            usage: { prompt_tokens: 7, completion_tokens: 2 },
          }),
        );
    });
  });
  afterAll(() => server.close());
  const started = new Promise<number>((done) => {
    server.listen(0, '127.0.0.1', () => done((server.address() as AddressInfo).port));
  });

  it('answers beside the base, greedily, with its own tokens counted', async () => {
    const url = `http://127.0.0.1:${await started}/v1/`;
    process.env['LOWRANK_TEST_KEY'] = 'secret';
    const endpoint = { url, model: 'some/model', keyVariable: 'LOWRANK_TEST_KEY' };
    const { report } = await compare([{}, { endpoint }, { name: 'shots', endpoint, shots: { count: 1 } }]);
    const [, own] = report().contestants;
    expect(own).toMatchObject({ name: 'some/model', trained: false, promptTokens: 7, answerTokens: 2 });
    expect(own!.measures['exact-match']).toMatchObject({ value: 0.25, n: 4 });
    expect(asked[0]).toMatchObject({
      ...{ url: '/v1/chat/completions', key: 'Bearer secret', model: 'some/model', temperature: 0, max_tokens: 6 },
      messages: [{ role: 'user', content: 'Blue?' }],
    });
    expect((asked.at(-1) as { messages: unknown[] }).messages).toHaveLength(3);
  });

  it('that fails, redirects or is none is a Problem', async () => {
    const url = `http://127.0.0.1:${await started}/v1`;
    for (const model of ['broken', 'elsewhere', 'garbage'])
      await expect(compare([{ endpoint: { url, model } }])).rejects.toMatchObject({ code: 'endpoint-failed' });
    await expect(compare([{ endpoint: { url: 'file:///etc/passwd', model: 'x' } }])).rejects.toMatchObject({
      code: 'request-invalid',
    });
    const missing = { url, model: 'x', keyVariable: 'LOWRANK_TEST_NO_KEY' };
    await expect(compare([{ endpoint: missing }])).rejects.toMatchObject({
      message: expect.stringContaining('NO_KEY') as string,
    });
  });
});
