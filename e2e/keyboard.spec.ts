import { writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import type { Locator, Page } from 'playwright/test';
import { expect, test } from './studio.ts';

const tiny = resolve(import.meta.dirname, '../resources/tiny/model');

/** Presses Tab until `wanted` has the focus, and so shows that it can be had. */
async function tabTo(page: Page, wanted: Locator): Promise<void> {
  await expect(wanted).toBeVisible();
  for (let presses = 0; presses < 120; presses++) {
    if (await wanted.evaluate((node) => node === document.activeElement)) return;
    await page.keyboard.press('Tab');
  }
  throw new Error('Tab never came there');
}

test('from files of one’s own to a comparison without a mouse', async ({ studio, dataDir }) => {
  const { page } = studio;
  const rows = join(dataDir, 'tickets.jsonl');
  const ticket = (number: number) => ({ ticket: `Where is order ${number}?`, our_reply: { intent: 'status', order: number } });
  writeFileSync(rows, Array.from({ length: 8 }, (_, i) => JSON.stringify(ticket(i))).join('\n'));

  // Data whose fields nobody knows: their meaning is guessed, and asked for.
  await studio.answerDialogs([rows]);
  await page.keyboard.press('Control+i');
  const question = page.getByRole('dialog', { name: 'Import data' });
  await expect(question.getByRole('combobox', { name: 'Answer, which is trained' })).toHaveText(/our_reply/);
  await tabTo(page, question.getByRole('button', { name: 'Import' }));
  await page.keyboard.press('Enter');
  await expect(page.getByRole('heading', { name: 'tickets', level: 1 })).toBeVisible();

  await studio.answerDialogs([tiny]);
  await page.keyboard.press('Control+o');
  await expect(page.getByRole('heading', { name: 'tiny', level: 2 })).toBeVisible();
  await tabTo(page, page.getByRole('button', { name: 'New run with this' }));
  await page.keyboard.press('Enter');
  await expect(page.getByRole('heading', { name: 'New run', level: 1 })).toBeVisible();
  await expect(page.getByRole('button', { name: 'Start' })).toBeEnabled();
  await page.keyboard.press('Control+Enter');
  await expect(page.getByText('Done', { exact: true })).toBeVisible({ timeout: 200_000 });

  // The same again with another rank.
  await page.keyboard.press('Control+d');
  await expect(page.getByRole('heading', { name: 'New run', level: 1 })).toBeVisible();
  await tabTo(page, page.getByRole('textbox', { name: 'Rank r' }));
  await page.keyboard.press('Control+a');
  await page.keyboard.type('4');
  await page.keyboard.press('Control+Enter');
  await expect(page.getByText('Done', { exact: true })).toBeVisible({ timeout: 200_000 });

  await page.keyboard.press('Control+5');
  await expect(page.getByRole('heading', { name: 'Compare', level: 1 })).toBeVisible();
  await tabTo(page, page.getByRole('slider', { name: /^Rank r/ }));
  for (let presses = 0; presses < 4; presses++) await page.keyboard.press('Shift+ArrowUp');
  await expect(page.getByText('1 run of 2 brushed')).toBeVisible();
  await page.keyboard.press('Escape');
  await expect(page.getByText('brushed')).toBeHidden();

  await page.keyboard.press('Control+7');
  await expect(page.getByRole('table', { name: 'Norm of the update by matrix and layer' })).toBeVisible();

  await page.keyboard.press('Control+k');
  await page.keyboard.type('theme: dark');
  await page.keyboard.press('Enter');
  await expect(page.locator('html')).toHaveAttribute('data-theme', 'dark');
});
