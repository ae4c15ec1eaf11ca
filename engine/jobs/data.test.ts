/** The process that stays open while somebody types: it reads no more than a request needs, and never answers for files of before. */
import { cpSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import type { AdapterPlan, ExportChoice, JobRequest, TargetPlan } from '../contract.ts';
import { defaultRecipe } from '../recipe.ts';
import { trialFor, trialKey } from '../training/trial.ts';
import { runData } from './data.ts';

const tiny = join(import.meta.dirname, '../../resources/tiny/model');
const golden = join(import.meta.dirname, '../golden');
const work = mkdtempSync(join(tmpdir(), 'data-job-'));
afterAll(() => rmSync(work, { recursive: true }));

/** The job, in this process. */
function ask(modelPath: string): <T>(request: JobRequest) => Promise<T> {
  let handler: (request: JobRequest) => Promise<unknown> = () => Promise.reject(new Error('not there'));
  const untilStopped = () => new Promise<void>(() => {});
  void runData(
    { kind: 'data', modelPath, cacheDir: work },
    { send: () => {}, stopRequested: false, onRequest: (given) => (handler = given), untilStopped },
  );
  return async <T>(request: JobRequest) => (await handler(request)) as T;
}

it('says what a recipe adapts without opening the tokenizer, which rows need', async () => {
  const modelPath = join(work, 'broken-tokenizer');
  cpSync(tiny, modelPath, { recursive: true });
  writeFileSync(join(modelPath, 'tokenizer.json'), '{"broken');
  const job = ask(modelPath);
  const plan = await job<TargetPlan>({ name: 'targets', recipe: { ...defaultRecipe(), rank: 3 } });
  expect(plan.modules.find(({ target }) => target === 'q_proj')!.ranks[0]).toBe(3);
  const { layers, matrices } = await job<AdapterPlan>({ name: 'adapter', recipe: defaultRecipe() });
  expect(matrices).toBe(7 * layers);
  const dataPaths = [join(work, 'rows.jsonl')];
  writeFileSync(dataPaths[0]!, '{"text": "a"}\n');
  await expect(job({ name: 'render', dataPaths })).rejects.toMatchObject({
    code: expect.stringMatching(/tokenizer|config|damaged/) as string,
  });
});

it('answers for a model that has taken the place of another', async () => {
  const modelPath = join(work, 'replaced');
  cpSync(join(golden, 'llama-tied/model'), modelPath, { recursive: true });
  const job = ask(modelPath);
  const names = async () =>
    (await job<TargetPlan>({ name: 'targets', recipe: defaultRecipe() })).modules.map(({ target }) => target);
  expect(await names()).toContain('q_proj');
  rmSync(modelPath, { recursive: true });
  cpSync(join(golden, 'gpt2/model'), modelPath, { recursive: true });
  expect(await names()).toContain('c_fc');
});

it('tells the exports of an adapter and the trial of a run', async () => {
  const model = join(golden, 'llama-tied/model');
  const ofAdapter = (adapterPath: string) => ask(model)<readonly ExportChoice[]>({ name: 'choices', adapterPath });
  const choices = await ofAdapter(join(golden, 'llama-tied/adapter'));
  expect(choices.map(({ format }) => format)).toContain('peft');
  await expect(ofAdapter(join(golden, 'smollm2-json/adapter'))).rejects.toMatchObject({ code: 'adapter-mismatch' });
  const subject = { modelPath: model, adapterPath: null, recipe: {} };
  expect(await ask(model)({ name: 'trialKey', subject })).toBe(trialKey(trialFor(subject)));
});
