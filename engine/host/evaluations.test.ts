import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { ChatMessage, Evaluation, EvaluationRequest } from '../contract.ts';
import { connectHost, type HostClient } from '../rpc.ts';

const folder = mkdtempSync(join(tmpdir(), 'lowrank-evaluations-'));
const dataDir = join(folder, 'data');
let client: HostClient;
let projectId: string;
const heard: Evaluation[] = [];

const rows = join(folder, 'rows.jsonl');
const model = { path: resolve('resources/tiny/model') };
const row = (question: string, answer: string): string => {
  const messages: ChatMessage[] = [
    { role: 'user', content: question },
    { role: 'assistant', content: answer },
  ];
  return `${JSON.stringify({ messages })}\n`;
};
writeFileSync(rows, ['Blue?', 'Red?', 'Two?', 'Say it.'].map((question, i) => row(question, `{"n": ${i}}`)).join(''));

beforeAll(async () => {
  client = await connectHost(dataDir);
  client.on('evaluation.changed', (evaluation) => heard.push(evaluation));
  ({ id: projectId } = await client.request('projects.create', { name: 'Evaluated' }));
});
afterAll(() => {
  client.close();
  rmSync(folder, { recursive: true, force: true, maxRetries: 40, retryDelay: 300 });
});

const request = (change: Partial<EvaluationRequest> = {}): EvaluationRequest => ({
  ...{ projectId, model, data: { paths: [rows] }, train: { data: { paths: [rows] } }, maxTokens: 4 },
  ...{ contestants: [{}, { shots: { count: 1 } }], evaluators: ['json', 'exact-match'] },
  ...change,
});

async function ended(id: string): Promise<Evaluation> {
  for (;;) {
    const { evaluation } = await client.request('evaluations.get', { id });
    if (evaluation.state !== 'running') return evaluation;
    await new Promise((done) => setTimeout(done, 50));
  }
}

it('an evaluation is begun, told, stored and looked at', async () => {
  expect((await client.request('evaluators.list', undefined)).find(({ name }) => name === 'length')).toMatchObject({
    needs: 'answers',
    options: [{ name: 'most', kind: 'integer' }, expect.anything(), expect.anything()],
  });
  const planned = await client.request('evaluations.plan', request());
  expect(planned).toMatchObject({ rows: 4, looks: 0, guards: { duplicates: 4 } });
  expect(await client.request('evaluations.list', { projectId })).toEqual([]);

  const begun = await client.request('evaluations.start', request());
  expect(begun).toMatchObject({ state: 'running', contestants: ['base', 'few-shot=1'], rows: null, name: 'base, few-shot=1' });
  const { id } = begun;
  const done = await ended(id);
  expect(done).toMatchObject({ state: 'done', rows: 4, answered: 8, answers: 8, looks: 0, rowsHash: planned.rowsHash });
  expect(done.verdict!.code).toBe('cannot-tell');
  expect(heard.filter((one) => one.id === id).map(({ state }) => state)).toContain('done');
  const { report } = await client.request('evaluations.get', { id });
  expect(report!.contestants.map(({ name }) => name)).toEqual(['base', 'few-shot=1']);
  expect(report).not.toHaveProperty('rows');
  expect((await client.request('evaluations.report', { id })).rows).toHaveLength(8);
  expect((await client.request('evaluations.text', { id, format: 'markdown' })).text).toContain('| base |');

  const page = await client.request('evaluations.rows', { id, offset: 1, limit: 2, contestants: ['base'] });
  expect(page).toMatchObject({ total: 4, rows: [{ row: 1, question: 'Red?', answers: [{ contestant: 'base' }] }, { row: 2 }] });
  const pair = report!.pairs.find(({ measure }) => measure === 'exact-match')!;
  const cell = { a: pair.a, b: pair.b, measure: pair.measure, cell: 'neither' } as const;
  expect((await client.request('evaluations.rows', { id, offset: 0, limit: 9, cell })).total).toBe(pair.neither);

  const again = await client.request('evaluations.start', request({ name: 'Again' }));
  expect(await ended(again.id)).toMatchObject({ name: 'Again', looks: 1 });
  expect((await client.request('evaluations.report', { id: again.id })).looks).toBe(1);
  expect((await client.request('evaluations.plan', request())).looks).toBe(2);
  expect((await client.request('evaluations.rename', { id, name: 'First' })).name).toBe('First');
  const listed = await client.request('evaluations.list', { projectId });
  expect(listed.map(({ name }) => name)).toEqual(['Again', 'First']);
  await client.request('evaluations.remove', { id });
  await expect(client.request('evaluations.get', { id })).rejects.toMatchObject({ code: 'not-found' });
  expect(await client.request('evaluations.list', { projectId })).toHaveLength(1);
  await expect.poll(() => existsSync(join(dataDir, 'evaluations', id))).toBe(false);
});

it('a stopped evaluation goes on with the answers that it has', async () => {
  const whole = await client.request('evaluations.start', request({ maxTokens: 64 }));
  await ended(whole.id);
  const stopping: Promise<unknown>[] = [];
  let answered = 0;
  const end = client.on('evaluation.answered', ({ id }) => {
    if (++answered === 3) stopping.push(client.request('evaluations.stop', { id }));
  });
  const { id } = await client.request('evaluations.start', request({ maxTokens: 64 }));
  const stopped = await ended(id);
  await Promise.all(stopping);
  end();
  expect(stopped).toMatchObject({ state: 'stopped', answers: 8, problem: null });
  await expect(client.request('evaluations.report', { id })).rejects.toMatchObject({ code: 'not-found' });
  expect((await client.request('evaluations.resume', { id })).state).toBe('running');
  expect(await ended(id)).toMatchObject({ state: 'done', answered: 8 });
  const [one, other] = await Promise.all([id, whole.id].map((each) => client.request('evaluations.report', { id: each })));
  expect(one!.rows.map(({ answer }) => answer)).toEqual(other!.rows.map(({ answer }) => answer));
  expect(one!.pairs).toEqual(other!.pairs);
});

it('what cannot be asked is refused, and nothing of it is stored', async () => {
  const before = (await client.request('evaluations.list', { projectId })).length;
  for (const wrong of [
    request({ contestants: [] }),
    request({ contestants: [{ adapter: { path: '/a' }, endpoint: { url: 'http://a', model: 'b' } }] }),
    request({ contestants: [{ shots: { count: 'auto' } }] }),
    request({ contestants: [{ adapter: { id: 'none' } }] }),
    request({ model: { id: 'none' } }),
  ])
    await expect(client.request('evaluations.start', wrong)).rejects.toMatchObject({ message: expect.any(String) as string });
  expect(await client.request('evaluations.list', { projectId })).toHaveLength(before);
  const { id } = await client.request('evaluations.start', request({ evaluators: ['jason'] }));
  expect(await ended(id)).toMatchObject({ state: 'failed', problem: { code: 'request-invalid' } });
  expect(readdirSync(join(dataDir, 'evaluations', id))).toEqual([]);
});
