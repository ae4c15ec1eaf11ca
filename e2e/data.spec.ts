/** Data as people have it comes in through the window, is mended there, and trains a run. */
import { cpSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import type { Locator } from 'playwright/test';
import { type Studio, expect, test } from './studio.ts';

const model = resolve(import.meta.dirname, '../resources/tiny/model');
const templates = resolve(import.meta.dirname, '../engine/golden/chat-templates');
const parquet = resolve(import.meta.dirname, '../engine/golden/parquet/zstd.parquet');

/** Opens a project with the tiny model, or with a copy of it that has the chat template of another one. */
async function project(studio: Studio, template?: string): Promise<string> {
  const { id } = await studio.request('projects.create', { name: 'Data' });
  let path = model;
  if (template !== undefined) {
    path = join(studio.dataDir, 'given', 'model');
    cpSync(model, path, { recursive: true });
    writeFileSync(join(path, 'chat_template.jinja'), readFileSync(join(templates, template), 'utf8'));
  }
  await studio.choose([path]);
  // The embedded model is there by then, so that the one that is meant is the newest, which rows are shown with.
  await studio.request('models.list', { projectId: id });
  const { id: modelId } = await studio.request('models.add', { projectId: id, path });
  await studio.page.reload();
  return modelId;
}

function given(studio: Studio, name: string, text: string): string {
  const folder = join(studio.dataDir, 'given');
  mkdirSync(folder, { recursive: true });
  const path = join(folder, name);
  writeFileSync(path, text);
  return path;
}

/** Asks for an import as a person does, and returns the dialog. */
async function importing(studio: Studio, paths: readonly string[]): Promise<Locator> {
  await studio.answerDialogs(paths);
  await studio.page.keyboard.press('Control+i');
  const dialog = studio.page.getByRole('dialog', { name: 'Import data' });
  await expect(dialog).toBeVisible();
  return dialog;
}

/** Starts a run on the newest data set of the project, and waits for its end. */
async function train(studio: Studio, modelId: string, skipBadRows = false): Promise<void> {
  const [project] = (await studio.request('projects.list', undefined)).toReversed();
  const dataset = (await studio.request('datasets.list', { projectId: project!.id })).at(-1);
  const run = await studio.request('runs.start', {
    ...{ projectId: project!.id, model: { id: modelId }, data: { versionId: dataset!.version.id } },
    ...{ recipe: { rank: 2, maxSteps: 2, batchSize: 2 }, skipBadRows },
  });
  await studio.page.evaluate((id) => void (location.hash = `#/run?id=${id}`), run.id);
  await expect(studio.page.getByText('Done', { exact: true })).toBeVisible({ timeout: 200_000 });
}

test('a CSV is mapped, mended and trained on', async ({ studio }) => {
  const { page } = studio;
  const modelId = await project(studio);
  const line = (i: number) => `${i},Lamp ${i} is dark,We send lamp ${i}.,${i % 4 === 0 ? 'refund' : 'repair'}`;
  const csv = ['id,subject,fix,kind', ...Array.from({ length: 24 }, (_, i) => line(i)), line(1)].join('\n');
  const file = given(studio, 'tickets.csv', csv);

  const dialog = await importing(studio, [file]);
  await expect(dialog.getByText(/^Unknown format: .*Read as CSV/)).toBeVisible();
  // Beneath a question nothing goes on.
  await page.keyboard.press('Control+1');
  const choose = async (label: string, option: string | RegExp) => {
    await dialog.getByRole('combobox', { name: label, exact: true }).click();
    await page.getByRole('option', { name: option }).click();
  };
  await choose('Question', /^Several columns/);
  await dialog.getByRole('textbox', { name: 'Template of the question' }).fill('{kind}: {subject}');
  await expect(dialog.getByText('Choose the column of the answer.')).toBeVisible();
  await choose('Answer, which is trained', /^fix/);
  await choose('System prompt', /^The same in every row/);
  await dialog.getByRole('textbox', { name: 'Text of the system prompt' }).fill('Be kind.');
  const preview = dialog.getByRole('region', { name: 'Preview' });
  await expect(preview).toContainText('Be kind.');
  await expect(preview).toContainText('refund: Lamp 0 is dark');
  await dialog.getByRole('textbox', { name: 'Name' }).fill('Lamps');
  await dialog.getByRole('button', { name: 'Import', exact: true }).click();
  await expect(page.getByRole('heading', { name: 'Lamps', level: 1 })).toBeVisible();
  await expect(page.getByText('25 rows to train, 0 to evaluate')).toBeVisible();
  const panel = page.getByRole('region', { name: 'Checks and statistics' });
  await expect(panel.getByText('1 row repeated')).toBeVisible();

  // What is done to rows makes versions, and each is taken back.
  const menu = async (item: RegExp) => {
    await page.getByRole('button', { name: 'Change', exact: true }).click();
    await page.getByRole('menuitem', { name: item }).click();
  };
  await menu(/^Leave repeated rows out/);
  await expect(page.getByText('24 rows to train, 0 to evaluate')).toBeVisible();
  await menu(/^Find and replace/);
  await page.getByRole('textbox', { name: 'Find', exact: true }).fill('is dark');
  await page.getByRole('textbox', { name: 'Replace with' }).fill('does not glow');
  await page.getByRole('button', { name: /^Replace at 24/ }).click();
  await expect(page.getByRole('option', { name: /does not glow/ }).first()).toBeVisible();
  await menu(/^Balance by a column/);
  await page.getByRole('combobox', { name: 'Column' }).click();
  await page.getByRole('option', { name: /^kind/ }).click();
  await page.getByRole('button', { name: /^Leave 12/ }).click();
  await expect(page.getByText('12 rows to train, 0 to evaluate')).toBeVisible();
  await page.getByRole('button', { name: 'Edit row' }).click();
  await page.getByRole('textbox', { name: 'subject' }).fill('My lamp hums');
  await page.getByRole('button', { name: 'Save as a new version' }).click();
  await expect(page.getByRole('option', { name: /My lamp hums/ })).toBeVisible();
  await expect(panel.getByText('Row 1 of tickets.csv written anew')).toBeVisible();
  await page.keyboard.press('Control+z');
  await expect(page.getByRole('option', { name: /My lamp hums/ })).toBeHidden();
  for (let times = 0; times < 3; times++) {
    await expect(panel.getByRole('button', { name: 'Undo' })).toBeEnabled();
    await page.keyboard.press('Control+z');
  }
  await expect(page.getByText('25 rows to train, 0 to evaluate')).toBeVisible();
  expect(readFileSync(file, 'utf8')).toBe(csv);

  const out = join(studio.dataDir, 'given', 'out.jsonl');
  await studio.answerDialogs([out]);
  await menu(/^Export/);
  await expect(page.getByText(/25.rows written to out\.jsonl/)).toBeVisible();
  expect(JSON.parse(readFileSync(out, 'utf8').split('\n')[0]!)).toEqual({
    ...{ system: 'Be kind.', instruction: 'refund: Lamp 0 is dark', output: 'We send lamp 0.' },
  });
  await train(studio, modelId);
});

test('a Parquet file that is copied in is trained on, and one that was moved is found again', async ({ studio }) => {
  const { page } = studio;
  const modelId = await project(studio);
  const folder = join(studio.dataDir, 'given');
  mkdirSync(folder, { recursive: true });
  const file = join(folder, 'answers.parquet');
  writeFileSync(file, readFileSync(parquet));
  const dialog = await importing(studio, [file]);
  await expect(dialog.getByText(/Read as Parquet/)).toBeVisible();
  await dialog.getByRole('button', { name: 'Import', exact: true }).click();
  await expect(page.getByRole('heading', { name: 'answers', level: 1 })).toBeVisible();
  const elsewhere = join(folder, 'elsewhere.parquet');
  renameSync(file, elsewhere);
  await page.reload();
  await page.evaluate(() => void (location.hash = '#/datasets'));
  await expect(page.getByText('was moved or deleted')).toBeVisible();
  // Another file is only taken when a person says so.
  await studio.answerDialogs([given(studio, 'other.jsonl', '{"prompt": "Hello", "completion": "Hi"}')]);
  await page.getByRole('button', { name: 'Find it…' }).click();
  await expect(page.getByRole('dialog', { name: 'This is another file' })).toContainText('1 row with it');
  await page.getByRole('button', { name: 'Cancel' }).click();
  await expect(page.getByText('was moved or deleted')).toBeVisible();
  await studio.answerDialogs([elsewhere]);
  await page.getByRole('button', { name: 'Find it…' }).click();
  await expect(page.getByText('was moved or deleted')).toBeHidden();
  await expect(page.getByRole('listbox', { name: 'Rows', exact: true }).getByRole('option').first()).toBeVisible();
  // Of the rows some have no answer.
  await train(studio, modelId, true);
});

test('calls of tools that are pasted are trained on where the template writes them', async ({ studio }) => {
  const { page } = studio;
  const modelId = await project(studio, 'qwen2.5.jinja');
  const parameters = { type: 'object', properties: { city: { type: 'string' } } };
  const tools = [{ type: 'function', function: { name: 'get_weather', description: 'Weather', parameters } }];
  const rows = ['Bonn', 'Rome'].map((city) => {
    const call = { id: 'c', type: 'function', function: { name: 'get_weather', arguments: JSON.stringify({ city }) } };
    const messages = [
      { role: 'user', content: `Weather in ${city}?` },
      { role: 'assistant', content: '', tool_calls: [call] },
      { role: 'tool', tool_call_id: 'c', content: '{"temp": 20}' },
      { role: 'assistant', content: `20 degrees in ${city}.` },
    ];
    return JSON.stringify({ messages, tools });
  });
  await page.evaluate(() => void (location.hash = '#/datasets'));
  await page.getByRole('button', { name: 'Import data' }).click();
  await page.getByRole('menuitem', { name: 'Paste rows…' }).click();
  await page.getByRole('textbox', { name: 'Rows' }).fill(rows.join('\n'));
  await expect(page.getByRole('radio', { name: 'JSON' })).toBeChecked();
  await page.getByRole('button', { name: 'Continue' }).click();
  const dialog = page.getByRole('dialog', { name: 'Import data' });
  await expect(dialog.getByText(/^Chat messages:/)).toBeVisible();
  await dialog.getByRole('textbox', { name: 'Name' }).fill('Weather');
  await page.keyboard.press('Enter');
  await expect(page.getByRole('heading', { name: 'Weather', level: 1 })).toBeVisible();
  await page.getByRole('radio', { name: 'Messages' }).click();
  await expect(page.getByText('get_weather Weather', { exact: true })).toBeVisible();
  await train(studio, modelId);
});

test('rows with thoughts are trained on, and bad lines are left out where they are seen', async ({ studio }) => {
  const { page } = studio;
  const modelId = await project(studio, 'qwen3.jinja');
  const row = (i: number) => {
    const answer = { role: 'assistant', reasoning_content: `${i} and ${i}.`, content: String(2 * i) };
    return JSON.stringify({ messages: [{ role: 'user', content: `Twice ${i}?` }, answer] });
  };
  const file = given(studio, 'thoughts.jsonl', [row(1), '{"messages": [{"role": "us', row(2), row(3), row(4)].join('\n'));
  const dialog = await importing(studio, [file]);
  await dialog.getByRole('radio', { name: 'Copy into the project' }).click();
  await dialog.getByRole('button', { name: 'Import', exact: true }).click();
  await expect(page.getByRole('heading', { name: 'thoughts', level: 1 })).toBeVisible();
  const blocking = page.getByRole('list', { name: 'Blocking' });
  await expect(blocking.getByText('1 row cannot be used')).toBeVisible();
  await blocking.getByRole('button', { name: /^Show 1/ }).click();
  await page.getByRole('button', { name: 'Edit row' }).click();
  await expect(page.getByRole('textbox', { name: 'The row as JSON' })).toHaveValue('{"messages": [{"role": "us');
  await expect(page.getByText(/This is not JSON yet/)).toBeVisible();
  await page.getByRole('button', { name: 'Cancel' }).click();
  await blocking.getByRole('button', { name: 'Leave this row out' }).click();
  await expect(page.getByText('4 rows to train, 0 to evaluate')).toBeVisible();
  await train(studio, modelId);
});

test('two data sets are mixed, and a run draws the loss of each', async ({ studio }) => {
  const { page } = studio;
  const modelId = await project(studio);
  const { id: projectId } = (await studio.request('projects.list', undefined)).at(-1)!;
  const add = async (name: string, answer: string) => {
    const rows = (from: number, to: number) =>
      Array.from({ length: to - from }, (_, i) => JSON.stringify({ prompt: `${name} ${from + i}`, completion: answer })).join(
        '\n',
      );
    const [train, evaluated] = [given(studio, `${name}.jsonl`, rows(0, 8)), given(studio, `${name}.eval.jsonl`, rows(8, 10))];
    await studio.choose([train, evaluated]);
    await studio.request('datasets.add', { projectId, name, data: { paths: [train], evalPaths: [evaluated] } });
  };
  await add('Lamps', 'We send it.');
  await add('Manners', 'You are welcome.');
  await page.evaluate(() => void (location.hash = '#/datasets'));
  await page.getByRole('button', { name: 'Change', exact: true }).click();
  await page.getByRole('menuitem', { name: 'Mix data sets…' }).click();
  const dialog = page.getByRole('dialog', { name: 'Mix data sets' });
  await dialog.getByRole('textbox', { name: 'Name' }).fill('Lamps with manners');
  await dialog.getByRole('textbox', { name: 'Times of part 1' }).fill('2');
  await dialog.getByRole('textbox', { name: 'At most, of part 2' }).fill('3');
  await expect(dialog.getByText(/^19.rows in an epoch, about/)).toBeVisible();
  await dialog.getByRole('button', { name: 'Mix', exact: true }).click();
  await expect(page.getByRole('heading', { name: 'Lamps with manners', level: 1 })).toBeVisible();
  await expect(page.getByText(/^Mix of 2.data sets · 19.rows to train, 4 to evaluate/)).toBeVisible();
  await expect(page.getByRole('option', { name: /^Lamps with manners .* Mix/ })).toBeVisible();
  const rows = page.getByRole('listbox', { name: 'Rows', exact: true });
  await expect(rows.getByRole('option').first()).toContainText('Manners');
  await rows.press('End');
  await expect(rows.getByRole('option').last()).toContainText('Lamps');
  // A newer version of a part is one click away.
  const sets = await studio.request('datasets.list', { projectId });
  const { id: lamps } = sets.find(({ name }) => name === 'Lamps')!;
  await studio.request('datasets.change', { id: lamps, change: { kind: 'replace', find: 'send', with: 'bring' } });
  await page.getByRole('button', { name: 'Use version 2 of Lamps' }).click();
  await expect(page.getByText(/^Mix of 2.data sets · .* version 2$/)).toBeVisible();
  await train(studio, modelId);
  const chart = page.getByRole('figure').filter({ has: page.getByRole('heading', { name: 'Loss', exact: true }) });
  await expect(chart.getByText('Lamps', { exact: true })).toBeVisible();
  await expect(chart.getByText('Manners', { exact: true })).toBeVisible();
});
