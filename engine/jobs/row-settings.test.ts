/** How rows are read is decided once, and training, evaluation, checks and later sessions of a run hold to it. */
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import type { DataReport, JobRequest, RenderedRow, RenderedRows } from '../contract.ts';
import type { RowSettings } from '../recipe.ts';
import { silentAsker } from '../testing/port.ts';
import { runData } from './data.ts';
import { runEvaluate } from './evaluate.ts';
import type { JobAsker, JobPort } from './port.ts';
import { readRunFolder, type RunRecord } from './run-folder.ts';
import { runTrain } from './train.ts';

const work = mkdtempSync(join(tmpdir(), 'lowrank-row-settings-'));
afterAll(() => rmSync(work, { recursive: true }));
const modelPath = 'resources/tiny/model';
const data = join(work, 'documents.jsonl');
writeFileSync(data, '{"text": "a b c d e"}\n{"text": "one two three"}\n');
const cacheDir = join(work, 'cache');
const port: JobPort = { send: () => {}, stopRequested: false, onRequest: () => {}, untilStopped: () => new Promise(() => {}) };

async function ask(request: JobRequest, path = modelPath): Promise<unknown> {
  let answer: (request: JobRequest, asker: JobAsker) => unknown = () => null;
  const asking = { ...port, onRequest: (listener: typeof answer) => (answer = listener), untilStopped: async () => {} };
  await runData({ kind: 'data', model: { path }, cacheDir }, asking as JobPort);
  return answer(request, silentAsker);
}
const tokens = (addEosToken: boolean) =>
  ask({ name: 'report', data: { paths: [data] }, maxLength: 100, rowSettings: { addEosToken } }).then(
    (report) => (report as DataReport).trainedTokens,
  );

test('checks, rendering, evaluation and training take as many tokens as the setting says', async () => {
  const [ended, open] = [await tokens(true), await tokens(false)];
  expect(ended).toBe(open + 2);
  const rendered = ((await ask({ name: 'render', data: { paths: [data] }, offset: 0 })) as RenderedRows).rows as RenderedRow[];
  expect(rendered.reduce((sum, { labels }) => sum + labels.length - 1, 0)).toBe(ended);

  const evaluate = {
    kind: 'evaluate',
    model: { path: modelPath },
    data: { paths: [data] },
    adapterPath: null,
    cacheDir,
  } as const;
  expect((await runEvaluate(evaluate, port)).supervisedTokens).toBe(ended);
  expect((await runEvaluate({ ...evaluate, rowSettings: { addEosToken: false } }, port)).supervisedTokens).toBe(open);

  for (const addEosToken of [true, false]) {
    const out = join(work, `run-${addEosToken}`);
    const recipe = { rank: 1, maxSteps: 1, batchSize: 2, addEosToken };
    const files = { data: { paths: [data] }, adapterPath: null, out, cacheDir };
    await runTrain(
      { kind: 'train', model: { path: modelPath }, ...files, recipe, device: 'cpu', skipBadRows: false, resume: false },
      port,
    );
    const [first] = readFileSync(join(out, 'metrics.jsonl'), 'utf8').split('\n');
    expect((JSON.parse(first!) as { supervisedTokens: number }).supervisedTokens).toBe(addEosToken ? ended : open);
  }
});

test('every setting changes the tokens of rows that it means, in checks and in training', { timeout: 60_000 }, async () => {
  const model = join(work, 'model');
  cpSync(modelPath, model, { recursive: true });
  writeFileSync(
    join(model, 'chat_template.jinja'),
    `{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('no system') }}{% endif %}{{ m.role + ': ' + (m.content if loop.last else m.content | upper) + '\n' }}{% endfor %}{% if add_generation_prompt %}{{ 'assistant: ' + ('now ' if enable_thinking is defined and enable_thinking else '') }}{% endif %}`,
  );
  const said = (...contents: readonly string[]) =>
    contents.map((content, i) => ({ role: i % 2 === 0 ? 'user' : 'assistant', content }));
  const rows = {
    plain: { messages: said('a', 'b') },
    turns: { messages: said('a', 'b', 'c', 'd') },
    system: { messages: [{ role: 'system', content: 's' }, ...said('a', 'b')] },
    picture: { messages: said('a', 'b'), images: ['a.png'] },
  };
  const report = async (name: keyof typeof rows, rowSettings: Partial<RowSettings> = {}) => {
    const path = join(work, `${name}.jsonl`);
    writeFileSync(path, JSON.stringify(rows[name]));
    return (await ask({ name: 'report', data: { paths: [path] }, maxLength: 100, rowSettings }, model)) as DataReport;
  };
  const titles = ({ checks }: DataReport) => checks.map(({ title }) => title).join('\n');
  expect(await report('turns')).toMatchObject({ rows: 1, examples: 2 });
  const last = await report('turns', { unroll: 'last' });
  expect(last).toMatchObject({ rows: 1, examples: 1 });
  expect(last.checks.map(({ detail }) => detail).join()).toContain('1 earlier turn would be examples of their own');
  expect(titles(await report('turns', { unroll: 'off' }))).toContain('1 row cannot be used');
  expect(titles(await report('system'))).toContain('1 row cannot be used');
  expect(titles(await report('system', { foldSystem: true }))).toContain('Every row can be used');
  expect(titles(await report('picture'))).toContain('1 row cannot be used');
  expect(titles(await report('picture', { media: 'drop' }))).toContain('1 row without their pictures and sounds');
  const plain = await report('plain');
  expect(plain.checks.find(({ title }) => title === 'What asks for an answer is not trained')?.detail).toContain(
    '"assistant: " (1 turn)',
  );
  expect(titles(await report('plain', { thinking: 'on' }))).toContain('1 row cannot be used');

  const data = { paths: [join(work, 'turns.jsonl')] };
  for (const [unroll, steps] of [
    ['all', 2],
    ['last', 1],
  ] as const) {
    const out = join(work, `unroll-${unroll}`);
    const recipe = { rank: 1, epochs: 1, batchSize: 1, unroll, turnWeight: 'conversation', date: '2026-07-15' };
    const spec = { kind: 'train', model: { path: model }, data, adapterPath: null, out, cacheDir, recipe } as const;
    await runTrain({ ...spec, device: 'cpu', skipBadRows: false, resume: false }, port);
    expect(readRunFolder(out)?.record).toMatchObject({ totalSteps: steps, day: '2026-07-15', recipe: { unroll } });
  }
});

test('a run that was recorded before there was the setting goes on without an end', () => {
  const out = join(work, 'run-true');
  const path = join(out, 'run.json');
  const { recipe, ...record } = JSON.parse(readFileSync(path, 'utf8')) as RunRecord;
  const { addEosToken, ...earlier } = recipe;
  expect(addEosToken).toBe(true);
  expect(readRunFolder(out)?.record.recipe.addEosToken).toBe(true);
  writeFileSync(path, JSON.stringify({ ...record, recipe: earlier }));
  expect(readRunFolder(out)?.record.recipe).toEqual({ ...recipe, addEosToken: false });
});
