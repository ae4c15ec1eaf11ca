import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { connectHost } from '../engine/rpc.ts';
import { expect, Studio, test } from './studio.ts';

const full = process.env['LOWRANK_TEST_FULL'] === '1';
const resources = resolve(import.meta.dirname, '../resources');

/**
 * Copies the shipped files with a sample of only so many questions, few rows to evaluate on, and only so many rows per step, so
 * that it takes little time with the real model.
 */
function shortSample(folder: string, questions: number, batchSize: number): void {
  mkdirSync(folder);
  symlinkSync(join(resources, 'models'), join(folder, 'models'), 'junction');
  cpSync(join(resources, 'samples'), join(folder, 'samples'), { recursive: true });
  const sample = join(folder, 'samples', 'json-orders');
  const recipe = JSON.parse(readFileSync(join(sample, 'recipe.json'), 'utf8')) as object;
  writeFileSync(join(sample, 'recipe.json'), JSON.stringify({ ...recipe, batchSize }));
  const shorten = (name: string, rows: number): void => {
    const lines = readFileSync(join(sample, name), 'utf8').split('\n');
    writeFileSync(join(sample, name), lines.slice(0, rows).join('\n'));
  };
  shorten('test.jsonl', questions);
  // The loss of these is computed before the first step.
  shorten('validate.jsonl', questions);
}

/** Makes the short sample one of a tiny model and two steps, which is done in seconds and learns nothing. */
function withTinyModel(folder: string): void {
  const [models, sample] = [join(folder, 'models'), join(folder, 'samples', 'json-orders')];
  rmSync(models);
  mkdirSync(models);
  symlinkSync(join(resources, 'tiny', 'model'), join(models, 'SmolLM2-135M-Instruct.Q4_1.gguf'), 'junction');
  const recipe = JSON.parse(readFileSync(join(sample, 'recipe.json'), 'utf8')) as object;
  writeFileSync(join(sample, 'recipe.json'), JSON.stringify({ ...recipe, maxSteps: 2, warmupSteps: 1 }));
}

/** Starts the engine before the window, so that the window finds one that has the short sample. */
const withSample = (change: (folder: string) => void) =>
  test.extend<{ studio: Studio }>({
    studio: async ({ dataDir }, use) => {
      const away = mkdtempSync(join(tmpdir(), 'lowrank-e2e-sample-'));
      const shipped = join(away, 'resources');
      shortSample(shipped, 3, 2);
      change(shipped);
      const engine = await connectHost(dataDir, { env: { LOWRANK_RESOURCES: shipped } });
      const studio = await Studio.open(dataDir);
      engine.close();
      await use(studio);
      await studio.close();
      rmSync(away, { recursive: true, force: true });
      expect(studio.complaints).toEqual([]);
    },
  });

const withShortSample = withSample(() => {});

withShortSample('the sample counts right answers, begins to learn, and stops where a person stops it', async ({ studio }) => {
  const { page } = studio;
  const choice = page.getByRole('radiogroup', { name: 'Sample' });
  await choice.getByRole('radio', { name: /House voice/ }).check({ force: true });
  await choice.getByRole('radio', { name: /Orders as JSON/ }).check({ force: true });
  await page.getByRole('button', { name: 'Try the sample' }).click();
  await expect(choice.getByRole('radio', { name: /House voice/ })).toBeDisabled();
  const sample = () => studio.request('sample.get', undefined);
  await expect.poll(async () => (await sample())?.correctBefore, { timeout: 400_000 }).toBe(0);
  await expect(page.getByRole('figure').first()).toBeVisible({ timeout: 200_000 });
  const runId = async () => (await sample())?.runId ?? '';
  const losses = async () =>
    (await studio.request('runs.metrics', { id: await runId(), afterStep: 0 })).steps.map(({ loss }) => loss);
  await expect.poll(async () => (await losses()).length, { timeout: 200_000 }).toBeGreaterThanOrEqual(4);
  await page.getByRole('button', { name: 'Stop the sample' }).click();
  await expect(page.getByText(/^Stopped after step/)).toBeVisible({ timeout: 200_000 });
  expect(await sample()).toMatchObject({ phase: 'stopped', rows: 3, correctAfter: null });
  // What was trained is there to go on from.
  expect((await studio.request('runs.checkpoints', { id: await runId() })).length).toBe(1);
  const [first, ...later] = await losses();
  expect(later.at(-1)).toBeLessThan(first!);
});

withSample(withTinyModel)('a trained sample is compared with the alternatives by one button', async ({ studio }) => {
  const { page } = studio;
  await page.getByRole('button', { name: 'Try the sample' }).click();
  await page.getByRole('button', { name: 'Compare with the alternatives' }).click({ timeout: 200_000 });
  await expect(page.getByRole('heading', { name: 'Orders as JSON', level: 1 })).toBeVisible();
  await expect(page.getByText('Cannot tell').or(page.getByText('Not worth it')).first()).toBeVisible({ timeout: 200_000 });
  const { projectId } = (await studio.request('sample.get', undefined))!;
  const [evaluation] = await studio.request('evaluations.list', { projectId });
  expect(evaluation).toMatchObject({ state: 'done', rows: 3, answers: 15 });
});

// Passed over before a window is opened for it: it takes minutes.
const testFully = full ? test : test.skip;
testFully(
  'a person tries the sample to its end, sees it has learned, and exports a proven model',
  async ({ studio, dataDir }) => {
    test.setTimeout(1_800_000);
    const { page } = studio;
    await page.getByRole('button', { name: 'Try the sample' }).click();
    await expect(page.getByRole('figure').or(page.getByText('Answering')).first()).toBeVisible({ timeout: 200_000 });
    await expect(page.getByRole('button', { name: 'Export', exact: true })).toBeVisible({ timeout: 1_500_000 });

    // Measured by the engine, shown by the page.
    const sample = await studio.request('sample.get', undefined);
    expect(sample?.phase).toBe('done');
    expect(sample?.rows).toBe(16);
    expect(sample?.correctBefore).toBeLessThanOrEqual(2);
    expect(sample?.correctAfter).toBeGreaterThanOrEqual(14);
    await expect(page.getByText(`${sample?.correctAfter} of 16`)).toBeVisible();

    const out = join(dataDir, 'orders-f16.gguf');
    await studio.answerDialogs([out]);
    await page.getByRole('button', { name: 'Export', exact: true }).click();
    await expect(page.getByRole('heading', { name: 'Exports', level: 1 })).toBeVisible();
    await page
      .getByRole('row', { name: /Merged GGUF.*\bf16\b/ })
      .getByRole('button', { name: /Export/ })
      .click();
    await expect(page.getByRole('region', { name: 'This export' }).getByText('Passed')).toBeVisible({ timeout: 240_000 });
    await expect(page.getByRole('region', { name: 'Proof' }).getByRole('row').nth(1)).toBeVisible();
    expect(statSync(out).size).toBeGreaterThan(200e6);

    const [record] = await studio.request('exports.list', { projectId: sample!.projectId });
    expect(record).toMatchObject({ state: 'done', path: out, proof: { passed: true } });
    expect(record!.proof!.top1Agreement).toBeGreaterThanOrEqual(0.99);
  },
);
