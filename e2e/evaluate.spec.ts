/** Checks that a person sets an evaluation up, sees what it takes, follows it to its verdict, and finds it again. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { expect, test } from './studio.ts';

test('an evaluation is set up, answered, looked at row by row, and found again', async ({ studio }) => {
  const { page } = studio;
  const { id: projectId } = await studio.request('projects.create', { name: 'Lamps' });
  const folder = join(studio.dataDir, 'given');
  mkdirSync(folder, { recursive: true });
  const [train, held, out] = ['train.jsonl', 'held.jsonl', 'report.md'].map((name) => join(folder, name)) as [
    string,
    string,
    string,
  ];
  const row = (i: number): string => {
    const messages = [
      { role: 'user', content: `Send ${i} lamps` },
      { role: 'assistant', content: JSON.stringify({ intent: 'order', quantity: i }) },
    ];
    return JSON.stringify({ messages });
  };
  const write = (path: string, from: number, rows: number): void =>
    writeFileSync(path, Array.from({ length: rows }, (_, i) => row(from + i)).join('\n'));
  write(train, 0, 12);
  write(held, 11, 4);
  const model = resolve(import.meta.dirname, '../resources/tiny/model');
  await studio.choose([model, train, held]);
  await studio.request('models.add', { projectId, path: model });
  await studio.request('datasets.add', { projectId, name: 'lamps', data: { paths: [train], evalPaths: [held] } });
  await page.reload();

  await page.keyboard.press('Control+6');
  await expect(page.getByText('4 rows held back. Everybody answers the same ones, greedy.')).toBeVisible();
  const contestants = page.getByRole('region', { name: 'Contestants' });
  await expect(contestants.getByText('3 contestants')).toBeVisible();
  await contestants.getByRole('checkbox', { name: 'Schema in the prompt' }).uncheck();
  await page.getByRole('textbox', { name: 'Max tokens' }).fill('0');
  await expect(page.getByText('Max tokens is a whole number from 1, or empty.')).toBeVisible();
  await expect(page.getByRole('button', { name: 'Start' })).toBeDisabled();
  await page.getByRole('textbox', { name: 'Max tokens' }).fill('6');
  await page.getByRole('button', { name: 'How long will it take?' }).click();
  await expect(page.getByText('1 test row also among the training rows')).toBeVisible({ timeout: 200_000 });
  await expect(page.getByText('These rows were never looked at')).toBeVisible();

  await page.keyboard.press('Control+Enter');
  await expect(page.getByRole('region', { name: 'Verdict' })).toContainText('Cannot tell', { timeout: 200_000 });
  const rowOf = (name: string) => page.getByRole('row').filter({ has: page.getByText(name, { exact: true }) });
  await expect(rowOf('base').getByRole('button', { name: 'A of the pair: base' })).toHaveAttribute('aria-pressed', 'true');
  const cells = page.getByRole('group', { name: 'Rows by who is right' });
  await expect(cells.getByRole('button', { pressed: true })).toHaveText(/4\s*neither/);
  await expect(page.getByRole('region', { name: 'Rows of the cell' }).getByText('Send 12 lamps')).toBeVisible();
  await page.getByRole('radio', { name: 'JSON' }).click();
  await expect(page.getByText('Exact McNemar, 0 against 0')).toBeVisible();

  await studio.answerDialogs([out]);
  await page.getByRole('button', { name: 'Save report' }).click();
  await page.getByRole('menuitem', { name: 'Markdown' }).click();
  await expect(page.getByText('Report saved as report.md')).toBeVisible();
  expect(readFileSync(out, 'utf8')).toContain('# Evaluation');

  // It is still there in a window that was opened anew, and in the list.
  await page.reload();
  await expect(page.getByRole('region', { name: 'Verdict' })).toContainText('Cannot tell');
  await page.getByRole('button', { name: 'All evaluations' }).click();
  await page.getByRole('button', { name: /^Rename/ }).click();
  await page.getByRole('textbox', { name: 'Name' }).fill('Before training');
  await page.keyboard.press('Enter');
  await page.getByRole('button', { name: 'Remove Before training' }).click();
  await expect(page.getByRole('button', { name: 'Before training', exact: true })).toBeHidden();
  await page.keyboard.press('Control+z');
  await page.getByRole('button', { name: 'Before training', exact: true }).click();
  await page.getByRole('button', { name: 'Open row 1 in the playground' }).click();
  await expect(page.getByRole('textbox', { name: /prompt/i }).first()).toHaveValue('Send 11 lamps');
});
