import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import type { EvaluationPlan, EvaluationReport } from '../contract.ts';
import { commandFolder, startCommand } from '../testing/command-line.ts';

const { folder, dataDir } = commandFolder('cli-evaluate');
const golden = 'engine/golden/llama-tied';

const lowrank = (...args: readonly string[]) => startCommand(dataDir, ['evaluate', ...args]).ended;
const onRows = ['--model', join(golden, 'model'), '--data', join(golden, 'rows.jsonl')];
const adapter = ['--adapter', join(golden, 'adapter')];

it('base against adapter is one document, and a report in a file', async () => {
  const file = join(folder, 'report.md');
  const { status, stdout, stderr } = await lowrank(...onRows, ...adapter, '--against', 'base', '--report', file, '--json');
  expect(status, stderr).toBe(0);
  const report = JSON.parse(stdout) as EvaluationReport;
  expect(report.contestants.map(({ name, trained }) => [name, trained])).toEqual([
    ['base', false],
    ['adapter', true],
  ]);
  expect(report.pairs).toMatchObject([{ a: 'base', b: 'adapter', measure: 'loss' }]);
  const rows = Map.groupBy(report.rows, ({ contestant }) => contestant);
  expect(rows.get('base')!.length).toBe(rows.get('adapter')!.length);
  // Each row counts with the tokens that its loss is the mean of.
  for (const [name, own] of rows) {
    const tokens = own.reduce((sum, one) => sum + one.supervisedTokens, 0);
    const mean = own.reduce((sum, one) => sum + one.scores.loss! * one.supervisedTokens, 0) / tokens;
    expect(report.contestants.find((one) => one.name === name)!.measures.loss!.value).toBeCloseTo(mean, 9);
  }
  expect(Object.keys(report.hashes)).toEqual(
    expect.arrayContaining(['rows', 'model', 'adapter adapter', 'answers', 'evaluators']),
  );
  expect(readFileSync(file, 'utf8')).toContain('# Evaluation');

  const missed = await lowrank(...onRows, ...adapter, '--against', 'base', '--gate', 'loss<=base-100', '--json');
  expect(missed.status).toBe(1);
  expect(JSON.parse(missed.stdout)).toMatchObject({ problem: { code: 'gate-missed' }, looks: 1 });
});

it('says beforehand what it takes, and refuses what it does not understand', async () => {
  const test = join(folder, 'test.jsonl');
  const messages = [
    { role: 'user', content: 'Blue?' },
    { role: 'assistant', content: '{"colour": "blue"}' },
  ];
  writeFileSync(test, JSON.stringify({ messages }));
  const tiny = ['--model', 'resources/tiny/model', '--data', test, '--train', test, '--max-tokens', '4'];
  const planned = await lowrank(...tiny, '--against', 'base,schema', '--evaluator', 'json', '--plan', '--json');
  expect(planned.status, planned.stderr).toBe(0);
  const plan = JSON.parse(planned.stdout) as EvaluationPlan;
  expect(plan).toMatchObject({ rows: 1, contestants: [{ name: 'base' }, { name: 'schema' }], guards: { duplicates: 1 } });
  const schema = join(folder, 'schema.json');
  writeFileSync(schema, JSON.stringify({ type: 'object', properties: { colour: { enum: ['blue'] } }, required: ['colour'] }));
  const against = ['--against', 'base,few-shot=1,schema,constrained', '--schema', schema];
  const { status, stdout, stderr } = await lowrank(...tiny, ...against, '--max-tokens', '40', '--json');
  expect(status, stderr).toBe(0);
  // Without a named evaluator everybody is measured all the same.
  const report = JSON.parse(stdout) as EvaluationReport;
  for (const { name, measures } of report.contestants) {
    expect(Object.keys(measures), name).toEqual(expect.arrayContaining(['json-values', 'json-schema', 'exact-match']));
    if (name === 'constrained') expect(measures).toMatchObject({ 'json-values': { value: 1 }, 'json-schema': { value: 1 } });
  }
  expect(stderr).toContain('No --evaluator is named, so these measure: json-values, json-schema, exact-match, loss.');
  const typo = await lowrank(...tiny, '--gate', 'json>=bsae');
  expect(typo).toMatchObject({ status: 2, stderr: expect.stringContaining("no contestant 'bsae'") as string });
  const reportTo = (file: string) => lowrank(...tiny, '--report', join(folder, file));
  expect((await reportTo('missing/x.md')).stderr).toContain('There is no folder');
  expect(await reportTo('x.html')).toMatchObject({ status: 2, stderr: expect.stringContaining('FILE.md') as string });
  const own = await lowrank(...tiny, '--evaluator', 'json-schema', '--schema', schema, '--json');
  expect(JSON.parse(own.stdout)).toMatchObject({ contestants: [{ measures: { 'json-schema': { n: 1 } } }] });
  const none = await lowrank(...tiny, '--against', 'few-shot=0');
  expect(none.stderr).toContain("'few-shot=0' has no examples");
  const unknown = await lowrank(...tiny, '--against', 'few-shots=3');
  expect(unknown.status).toBe(1);
  expect(unknown.stderr).toContain("no contestant 'few-shots=3'");
});

it('takes evaluators, contestants and the limit of tokens from one file, and the options win', async () => {
  const settings = join(folder, 'evaluate.json');
  const rows = ['--model', 'resources/tiny/model', '--data', join(folder, 'test.jsonl'), '--train', join(folder, 'test.jsonl')];
  const told = { title: 'For people', evaluators: ['json', { name: 'length', options: { most: 3 } }], maxTokens: 2 };
  writeFileSync(settings, JSON.stringify({ ...told, against: ['base', 'few-shot=1+schema'] }));
  const { status, stdout, stderr } = await lowrank(...rows, '--settings', settings, '--max-tokens', '3', '--json');
  expect(status, stderr).toBe(0);
  const { contestants, rows: answers } = JSON.parse(stdout) as EvaluationReport;
  expect(contestants.map(({ name }) => name)).toEqual(['base', 'few-shot=1+schema']);
  expect(Object.keys(answers[0]!.scores)).toEqual(expect.arrayContaining(['json', 'length']));
  expect(Math.max(...answers.map(({ answerTokens }) => answerTokens!))).toBe(3);

  for (const [content, message] of [
    ['[]', 'not a JSON object'],
    ['{"evaluator": ["json"]}', "no setting 'evaluator'"],
    ['{"evaluators": [{"name": "json", "most": 3}]}', "'evaluators' is not a list"],
    ['{"maxTokens": "40"}', "'maxTokens' is not a whole number"],
  ] as const) {
    writeFileSync(settings, content);
    const refused = await lowrank(...rows, '--settings', settings);
    expect([refused.status, refused.stderr]).toEqual([1, expect.stringContaining(message)]);
  }
});
