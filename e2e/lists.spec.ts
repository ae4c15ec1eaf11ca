/** Checks that in a project with very many items what a person looks at is there at once, and that only that is rendered. */
import { writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { filledStore } from '../engine/testing/filled-store.ts';
import { expect, Studio, test } from './studio.ts';

test('of 500 runs those are made that are seen, and the keyboard reaches all of them', async ({ dataDir }) => {
  filledStore(dataDir, { runs: 500, steps: 1 }).close();
  const studio = await Studio.open(dataDir);
  const { page } = studio;
  await page.evaluate(() => void (location.hash = '#/runs'));
  const table = page.getByRole('table');
  await expect(table).toHaveAttribute('aria-rowcount', '501');
  const rows = table.locator('tbody tr[data-index]');
  await expect.poll(() => rows.count()).toBeLessThan(120);
  expect(await page.evaluate(() => document.querySelectorAll('*').length)).toBeLessThan(3000);

  // One that has the focus stays, however far the list is scrolled.
  const first = rows.first().getByRole('checkbox');
  await first.focus();
  await page.mouse.move(700, 500);
  await page.mouse.wheel(0, 100_000);
  await expect(rows.last()).toHaveAttribute('aria-rowindex', '501');
  await expect(rows.last()).toBeInViewport();
  await expect(first).toBeFocused();
  expect(await rows.count()).toBeLessThan(120);
  // A page of rows with their gaps is as high as all of them.
  const height = await rows.last().evaluate((row) => row.getBoundingClientRect().height);
  const whole = await table.locator('tbody').evaluate((body) => body.getBoundingClientRect().height);
  expect(Math.abs(whole / height - 500)).toBeLessThan(2);
  // The list goes while one of its rows has the focus.
  await expect(first).toBeFocused();
  await page.evaluate(() => void (location.hash = '#/overview'));
  await expect(page.getByRole('heading', { name: 'Overview', level: 1 })).toBeVisible();
  await studio.close();
  expect(studio.complaints).toEqual([]);
});

test('of 100,000 rows the first page is there at once, while the check says how far it is', async ({ studio, dataDir }) => {
  const file = join(dataDir, 'lamps.jsonl');
  const turns = (i: number) => [
    { role: 'user', content: `Send me ${i} reading lamps, please.` },
    { role: 'assistant', content: JSON.stringify({ intent: 'order', quantity: i }) },
  ];
  writeFileSync(file, Array.from({ length: 100_000 }, (_, i) => `${JSON.stringify({ messages: turns(i) })}\n`).join(''));
  const project = await studio.request('projects.create', { name: 'Lamps' });
  const model = resolve(import.meta.dirname, '../resources/tiny/model');
  await studio.choose([model, file]);
  await studio.request('models.add', { projectId: project.id, path: model });
  const dataset = await studio.request('datasets.add', { projectId: project.id, data: { paths: [file] } });
  const { page } = studio;
  await page.reload();
  const asked = performance.now();
  await page.evaluate((id) => void (location.hash = `#/datasets?id=${id}`), dataset.id);
  const option = page.getByRole('listbox', { name: 'Rows' }).getByRole('option').first();
  await expect(option).toContainText('Send me 0 reading lamps');
  // A machine with much else to do may take longer than the 3 s that are meant.
  expect(performance.now() - asked).toBeLessThan(10_000);
  await expect(option).toHaveAttribute('aria-setsize', '100000');
  await expect(page.getByText(/Checking [\d,]+ of 100,000 rows/)).toBeVisible();
  await page.getByRole('button', { name: 'Rows after' }).click();
  await expect(option).toContainText('Send me 50 reading lamps');
});
