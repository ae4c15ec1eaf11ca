import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from './studio.ts';

test('rows of one file are held back and left out in the window, and a version is gone back to', async ({ studio }) => {
  const { page } = studio;
  const { id: projectId } = await studio.request('projects.create', { name: 'One file' });
  const folder = join(studio.dataDir, 'given');
  mkdirSync(folder, { recursive: true });
  const file = join(folder, 'answers.jsonl');
  const rows = Array.from({ length: 60 }, (_, i) =>
    JSON.stringify({ messages: ['user', 'assistant'].map((role) => ({ role, content: `${role} ${i}` })) }),
  );
  const content = [...rows, '{"messages": [{"role": "user", "con'].join('\n');
  writeFileSync(file, content);
  await studio.choose([file]);
  const { id } = await studio.request('datasets.add', { projectId, data: { paths: [file] } });
  // The embedded model is read by then.
  await studio.request('models.list', { projectId });
  await page.reload();
  await page.evaluate((id) => void (location.hash = `#/datasets?id=${id}`), id);

  await page.getByRole('button', { name: 'Hold rows back' }).click();
  await page.getByLabel('Share').fill('200');
  await expect(page.getByText('A number above 0 and below 100.')).toBeVisible();
  await page.getByLabel('Share').fill('20');
  await page.getByLabel('Seed').fill('7');
  await page.getByRole('combobox', { name: 'Keep together by' }).click();
  await page.getByRole('option', { name: 'messages' }).click();
  await page.getByRole('button', { name: 'Hold 12 rows back' }).click();
  await expect(page.getByText('49 rows to train, 12 to evaluate')).toBeVisible();
  const panel = page.getByRole('region', { name: 'Checks and statistics' });
  await expect(panel.getByText('12 of 61 rows held back for evaluation, by messages, seed 7')).toBeVisible();
  await expect(page.getByText('No rows to evaluate on')).toBeHidden();
  await page.getByRole('radio', { name: 'Evaluate' }).click();
  await expect(page.getByRole('listbox', { name: 'Rows', exact: true }).getByRole('option')).toHaveCount(12);
  await page.getByRole('radio', { name: 'Train' }).click();

  await page.getByRole('button', { name: 'Leave this row out' }).click();
  await expect(page.getByText('48 rows to train, 12 to evaluate')).toBeVisible();
  await expect(page.getByText('Every row can be used')).toBeVisible();
  await panel.getByRole('button', { name: 'Undo' }).click();
  await expect(page.getByText('49 rows to train, 12 to evaluate')).toBeVisible();
  await page.getByRole('button', { name: 'Use' }).first().click();
  await expect(page.getByText('48 rows to train, 12 to evaluate')).toBeVisible();
  expect(readFileSync(file, 'utf8')).toBe(content);

  // A file that is written while its rows are looked at is told at once, and no row of before stays.
  writeFileSync(file, content.replaceAll('user ', 'person '));
  await page.getByRole('listbox', { name: 'Rows', exact: true }).press('End');
  await expect(page.getByText(/^answers\.jsonl has changed since version/)).toBeVisible();
  const rowsShown = page.getByRole('listbox', { name: 'Rows', exact: true }).getByRole('option');
  await expect(rowsShown.filter({ hasText: 'person' }).first()).toBeVisible();
  await expect(rowsShown.filter({ hasText: 'user ' })).toHaveCount(0);
});
