/** Checks that in a project with very many items what a person looks at is there at once, and that only that is rendered. */
import { cpSync, writeFileSync } from 'node:fs';
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
  // The time is told and not held: how long it takes depends on what else the machine does.
  test.info().annotations.push({ type: 'first page', description: `${Math.round(performance.now() - asked)} ms` });
  await expect(option).toHaveAttribute('aria-setsize', '100000');
  await expect(page.getByText(/Checking [\d,]+ of 100,000 rows/)).toBeVisible();
  // A row far away is there by its number, and the keyboard goes on from it.
  const row = (number: string) => page.getByRole('option', { selected: true }).filter({ hasText: number });
  await page.getByLabel('Row', { exact: true }).fill('90,001');
  await page.keyboard.press('Enter');
  await expect(row('90,001')).toContainText('Send me 90000 reading lamps');
  await page.getByRole('listbox', { name: 'Rows' }).focus();
  await page.keyboard.press('j');
  await expect(row('90,002')).toBeInViewport();
  await page.keyboard.press('End');
  await expect(row('100,000')).toContainText('Send me 99999 reading lamps');
  await expect(row('100,000')).toBeInViewport();
  expect(await page.getByRole('listbox', { name: 'Rows' }).getByRole('option').count()).toBeLessThan(60);
  await page.keyboard.press('Home');
  await expect(row('1')).toContainText('Send me 0 reading lamps');
});

test('a row is found, copied and compared with what it was before a run', async ({ studio, dataDir }) => {
  const file = join(dataDir, 'orders.jsonl');
  const order = (i: number) => ({
    messages: [
      { role: 'user', content: i === 700 ? `Tell me a very long story of ${'many '.repeat(40)}lamps.` : `Send me ${i} lamps.` },
      {
        role: 'assistant',
        content: '',
        tool_calls: [{ type: 'function', function: { name: 'order_lamps', arguments: { quantity: i } } }],
      },
      { role: 'tool', name: 'order_lamps', content: '{"sent": true}' },
      { role: 'assistant', content: `${i} lamps are on their way.` },
    ],
  });
  const plain = ({ messages }: ReturnType<typeof order>) => ({ messages: [messages[0], messages[3]] });
  writeFileSync(file, Array.from({ length: 900 }, (_, i) => `${JSON.stringify(plain(order(i)))}\n`).join(''));
  const calls = join(dataDir, 'calls.jsonl');
  writeFileSync(calls, Array.from({ length: 3 }, (_, i) => `${JSON.stringify(order(i))}\n`).join(''));
  const { id: projectId } = await studio.request('projects.create', { name: 'Orders' });
  const path = resolve(import.meta.dirname, '../resources/tiny/model');
  // A model whose chat template writes calls of tools.
  const caller = join(dataDir, 'caller');
  cpSync(path, caller, { recursive: true });
  writeFileSync(
    join(caller, 'chat_template.jinja'),
    '{{ bos_token }}{% for m in messages %}<|{{ m.role }}|>\n{{ m.content }}{% if m.tool_calls %}{{ m.tool_calls | tojson }}{% endif %}<|end|>\n{% endfor %}' +
      '{% if add_generation_prompt %}<|assistant|>\n{% endif %}',
  );
  await studio.choose([path, file, calls, caller]);
  await studio.request('models.add', { projectId, path: caller });
  const model = await studio.request('models.add', { projectId, path });
  await studio.request('models.list', { projectId });
  const added = await studio.request('datasets.add', { projectId, data: { paths: [file] } });
  const { id, version } = await studio.request('datasets.change', {
    id: added.id,
    change: { kind: 'split', fraction: 0.05, seed: 1 },
  });
  const recipe = { rank: 2, maxSteps: 3, batchSize: 8, gradientAccumulation: 36, evalEvery: 3, learningRate: 1e-2 };
  const run = await studio.request('runs.start', {
    ...{ projectId, name: 'Short run', model: { id: model.id }, data: { versionId: version.id }, recipe },
  });
  const { page } = studio;
  await page.reload();
  await expect
    .poll(async () => (await studio.request('runs.list', { projectId })).map(({ state }) => state), { timeout: 120_000 })
    .toEqual(['done']);
  await page.evaluate((id) => void (location.hash = `#/datasets?id=${id}`), id);
  await page.getByRole('combobox', { name: 'Model whose tokenizer' }).click();
  await page.getByRole('option', { name: model.name, exact: true }).click();

  // The longest row, from the list of rows to go to.
  await page.getByRole('combobox', { name: 'Jump to rows' }).click();
  await page.getByRole('option', { name: 'Longest rows' }).click();
  const inspector = page.getByRole('region', { name: 'Mask inspector' });
  await expect(page.getByRole('group', { name: 'Longest rows' })).toContainText('1 of 100');
  await expect(inspector.getByRole('group', { name: /Tokens of row/ })).toContainText('very');

  // A text in the rows, and a row of those found.
  await page.getByLabel('Find in rows').fill('ME 555 LAMPS');
  await page.getByRole('list', { name: 'Rows found' }).getByRole('button').first().click();
  await expect(inspector.getByText(/line 556/)).toBeVisible();
  await inspector.getByRole('button', { name: 'Ids' }).click();
  const ids = JSON.parse(await studio.app.evaluate(({ clipboard }) => clipboard.readText())) as number[];
  expect(ids.length).toBeGreaterThan(10);
  await inspector.getByRole('button', { name: 'JSON' }).click();
  expect(JSON.parse(await studio.app.evaluate(({ clipboard }) => clipboard.readText()))).toEqual(plain(order(555)));
  await expect(inspector.getByText(/packs \d+ rows into one sequence/)).toBeVisible();

  // Each token has its loss before the run and after it.
  await inspector.getByRole('combobox', { name: 'What the colours of tokens show' }).click();
  await page.getByRole('option', { name: /^Loss with/ }).click();
  await expect(inspector.getByText(/mean [\d.]+ before, [\d.]+ after/)).toBeVisible({ timeout: 60_000 });
  const tokens = inspector.locator('[data-at]');
  expect(await tokens.count()).toBe(ids.length);
  await inspector.locator('.heat').first().hover();
  await expect(inspector.getByRole('status', { name: 'Token' })).toContainText(/at \d+.*id \d+.*trained.*loss [\d.]+ → [\d.]+/);

  // The rows that the run predicts worst are those of its evaluation.
  await page.getByLabel('Find in rows').press('Escape');
  await page.getByRole('combobox', { name: 'Jump to rows' }).click();
  await page.getByRole('option', { name: 'Highest loss after Short run' }).click();
  await expect(page.getByRole('group', { name: /Highest loss/ })).toContainText('1 of 45');
  const worst = await studio.request('runs.worst', { id: run.id });
  expect(worst).toMatchObject({ step: 3 });
  await expect(inspector.getByText(`row ${worst!.rows[0]!.row + 1},`)).toBeVisible();

  // Calls of tools and their results are parts of the conversation.
  const tools = await studio.request('datasets.add', { projectId, data: { paths: [calls] } });
  await page.getByRole('listbox', { name: 'Datasets' }).getByRole('option', { name: tools.name }).click();
  await page.getByRole('combobox', { name: 'Model whose tokenizer' }).click();
  await page.getByRole('option', { name: 'caller' }).click();
  await inspector.getByRole('radio', { name: 'Messages' }).click();
  await expect(inspector.getByText('order_lamps', { exact: true })).toBeVisible();
  await expect(inspector.getByText('{"sent": true}')).toBeVisible();

  // How a data set is looked at is its own.
  await inspector.getByLabel('Length', { exact: true }).fill('64');
  await expect(page.getByText('at 64 tokens')).toBeVisible();
  await page.getByRole('listbox', { name: 'Datasets' }).getByRole('option', { name: 'orders' }).click();
  await expect(page.getByText('at 1,024 tokens')).toBeVisible();
  await expect(page.getByRole('combobox', { name: 'Model whose tokenizer' })).toHaveText(model.name);
});
