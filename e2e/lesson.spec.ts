import { join, resolve } from 'node:path';
import { expect, test } from './studio.ts';

/** Limits what happens at the engine's own pace, because a busy machine may take its time. */
const patience = 300_000;
const resources = resolve(import.meta.dirname, '../resources');

test('the lesson shows the planned adapter, trains both ways, and then what was learned', async ({ studio }) => {
  const { page } = studio;
  const { id: projectId } = await studio.request('projects.create', { name: 'Lesson' });
  const model = join(resources, 'tiny/model');
  const [train, evaluation] = ['train', 'validate'].map((split) => join(resources, `samples/json-orders/${split}.jsonl`));
  await studio.choose([model, train!, evaluation!]);
  const { id: modelId } = await studio.request('models.add', { projectId, path: model });
  const data = { paths: [train!], evalPaths: [evaluation!] };
  const { id: datasetId } = await studio.request('datasets.add', { projectId, data });
  await page.reload();
  await page.evaluate((hash) => void (location.hash = hash), `#/new-run?modelId=${modelId}&datasetId=${datasetId}`);

  // The recipe of the new run is the one that is explained, and it is still there afterwards.
  await page.getByLabel('Rank r', { exact: true }).fill('4');
  await page.getByRole('button', { name: 'What is LoRA doing?' }).click();
  await expect(page.getByRole('heading', { name: 'What is LoRA doing?', level: 1 })).toBeVisible();
  const shapes = page.getByRole('region', { name: 'W stays, A and B learn' });
  await expect(
    shapes.getByRole('img', { name: 'W, 64 × 64, plus 2 times B, 64 × 4, times A, 4 × 64, drawn to scale' }),
  ).toBeVisible();
  await expect(shapes.getByText('256 + 256')).toBeVisible();
  await shapes.getByRole('radio', { name: 'down' }).click();
  await expect(shapes.getByText('512 + 256')).toBeVisible();
  await expect(page.getByRole('region', { name: 'The textbook’s case' }).getByText('1/4000')).toBeVisible();
  await expect(page.getByText('After training you see numbers of this matrix here')).toBeVisible();
  await page.keyboard.press('Alt+ArrowLeft');
  await expect(page.getByLabel('Rank r', { exact: true })).toHaveValue('4');
  await page.getByRole('button', { name: 'What is LoRA doing?' }).click();

  await page.getByRole('button', { name: 'Train both…' }).click();
  const dialog = page.getByRole('dialog');
  await dialog.getByLabel('Steps').fill('4');
  await dialog.getByRole('button', { name: 'Train both' }).click();
  const duel = page.getByRole('region', { name: 'LoRA against every weight' });
  await expect(duel.getByRole('row', { name: /^Evaluation loss \d+\.\d{3} \d+\.\d{3}/ })).toBeVisible({ timeout: patience });
  await duel.getByRole('button', { name: 'What LoRA learned' }).click({ timeout: patience });
  const runs = await studio.request('runs.list', { projectId });
  expect(runs.map(({ recipe, state, totalSteps }) => [recipe.method, recipe.rank, state, totalSteps])).toEqual([
    ['lora', 4, 'done', 4],
    ['full', 4, 'done', 4],
  ]);
  await expect(duel.getByRole('row', { name: /^Trained numbers 8,192 98.62\sk 1\/12/ })).toBeVisible();

  // What is shown are the numbers of the files.
  const lora = (await studio.request('adapters.list', { projectId })).find(({ runId }) => runId === runs[0]!.id)!;
  const { modules } = await studio.request('adapters.updates', { id: lora.id });
  const update = modules.find(({ name }) => name === 'q_proj')!.updates[1]!;
  const used = `${update.effectiveRank.toFixed(1)} of 4`;
  await expect(page.getByRole('region', { name: 'How much of the rank it used' }).getByText(used)).toBeVisible();
  const { before } = await studio.request('adapters.matrix', { id: lora.id, path: 'model.layers.1.self_attn.q_proj' });
  // How many decimals there are depends on what was learned.
  const shown = Math.abs(before[0]![0]!).toFixed(7).slice(0, 5);
  await expect(page.getByRole('table', { name: 'W before' }).getByRole('cell').first()).toContainText(shown);

  await page.getByRole('button', { name: 'All 14 matrices' }).click();
  await page.getByRole('button', { name: 'Matrix', exact: true }).click();
  await expect(page.getByRole('row').nth(1)).toContainText('down_proj');
  await page.getByRole('button', { name: 'Back to one matrix' }).click();
  await page.getByRole('button', { name: 'Cut to rank 2…' }).click();
  await dialog.getByRole('button', { name: 'Cut to rank 2' }).click();
  await expect(page.getByText('· rank 2')).toBeVisible();
  await expect(page.getByRole('region', { name: 'W stays, A and B learn' }).getByText('128 + 128')).toBeVisible();
});
