import { join, resolve } from 'node:path';
import { writeAdapter } from '../engine/adapters/folder.ts';
import { newAdapter } from '../engine/adapters/initial.ts';
import { openModel } from '../engine/models/open.ts';
import { defaultRecipe } from '../engine/recipe.ts';
import { expect, test, type Studio } from './studio.ts';

const modelPath = resolve(import.meta.dirname, '../resources/tiny/model');

/** Opens the playground on a project with the tiny model and adapters of these names, and returns the paths of the adapters. */
async function playground(studio: Studio, names: readonly string[]): Promise<void> {
  const { id: projectId } = await studio.request('projects.create', { name: 'Playground' });
  await studio.choose([modelPath]);
  const { id: modelId } = await studio.request('models.add', { projectId, path: modelPath });
  const model = openModel(modelPath);
  for (const [i, name] of names.entries()) {
    const adapter = newAdapter({ ...defaultRecipe(), rank: 4, seed: i + 1 }, model, null);
    adapter.parameters.forEach((_, at) => (adapter.parameters[at] = 0.05 * Math.sin(at * (i + 1))));
    const path = join(studio.dataDir, 'given', name);
    writeAdapter(path, adapter);
    await studio.choose([path]);
    await studio.request('adapters.import', { projectId, path, modelId });
  }
  await studio.page.reload();
  await studio.page.evaluate(() => void (location.hash = '#/playground'));
  await expect(studio.page.getByRole('heading', { name: 'Playground', level: 1 })).toBeVisible();
}

test('adapters are mixed by ear and saved as a version that names its parents', async ({ studio }) => {
  const { page } = studio;
  await playground(studio, ['first', 'second']);
  const column = page.getByRole('region', { name: 'second', exact: true });
  await page.getByLabel('Prompt').fill('What colour is a lemon?');
  await page.getByRole('button', { name: 'Send' }).click();
  const base = page.getByRole('region', { name: 'Base' });
  await expect(base.getByText('A lemon is yellow.')).toBeVisible();
  await expect(column.getByText('Done')).toBeVisible();

  // With a weight of 0 the adapter does nothing, and the answer follows the weight by itself.
  await column.getByRole('spinbutton', { name: 'Weight of second' }).fill('0');
  await expect(column.getByText('A lemon is yellow.')).toBeVisible();
  await column.getByLabel('Mix another adapter in').click();
  await page.getByRole('option', { name: 'first' }).click();
  const mix = page.getByRole('region', { name: 'second + first' });
  await expect(mix.getByRole('heading', { name: 'Mix of 2 adapters' })).toBeVisible();
  await mix.getByRole('slider', { name: 'first' }).fill('0.5');
  await mix.getByRole('spinbutton', { name: 'Weight of second' }).fill('-0.25');
  await expect(mix.getByText('Done')).toBeVisible();

  await mix.getByRole('button', { name: 'Save as a version…' }).click();
  const dialog = page.getByRole('dialog', { name: 'Save as a version' });
  await expect(dialog.getByText('It saves exactly what answers now: the sum of the changes.')).toBeVisible();
  await expect(dialog.getByLabel('Density')).toBeDisabled();
  await dialog.getByLabel('Method').click();
  await page.getByRole('option', { name: /^dare-ties drops/ }).click();
  await expect(dialog.getByText(/so its answers differ/)).toBeVisible();
  await dialog.getByLabel('Density').fill('2');
  await expect(dialog.getByRole('button', { name: 'Save', exact: true })).toBeDisabled();
  await dialog.getByLabel('Density').fill('0.5');
  await dialog.getByLabel('Name').fill('blend');
  await dialog.getByRole('button', { name: 'Save', exact: true }).click();
  await expect(dialog).toBeHidden();

  await page.evaluate(() => void (location.hash = '#/adapters'));
  await page.getByRole('button', { name: /^Mix blend/ }).click();
  const details = page.getByRole('region', { name: 'blend' });
  await expect(details.getByText('dare-ties, density 0.5, majority sign total, seed 0')).toBeVisible();
  await expect(details.getByText('× -0.25')).toBeVisible();
  await details.getByRole('button', { name: 'first' }).click();
  await expect(page.getByRole('region', { name: 'first' })).toBeVisible();
});

test('a model is served from the window until it is switched off', async ({ studio }) => {
  const { page } = studio;
  await playground(studio, ['first']);
  await page.getByRole('button', { name: 'Serve…' }).click();
  const dialog = page.getByRole('dialog');
  await dialog.getByLabel('Answers of').click();
  await page.getByRole('option', { name: 'The base alone' }).click();
  await dialog.getByLabel('Port').fill('80');
  await expect(dialog.getByRole('button', { name: 'Switch on' })).toBeDisabled();
  await dialog.getByLabel('Port').fill('');
  await dialog.getByRole('button', { name: 'Switch on' }).click();
  await expect(dialog.getByRole('heading', { name: 'Served until it is switched off' })).toBeVisible();
  const [url, model, token] = await dialog.locator('code').allTextContents();
  await dialog.getByRole('button', { name: 'Copy the token' }).click();
  expect(await studio.app.evaluate(({ clipboard }) => clipboard.readText())).toBe(token);
  await dialog.getByRole('button', { name: 'Done' }).click();
  const bar = page.getByRole('status', { name: 'Served to other programs' });
  await expect(bar.getByText(url!)).toBeVisible();
  expect(await page.content()).not.toContain(token!);

  const answer = await fetch(`${url}/chat/completions`, {
    method: 'POST',
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
    body: JSON.stringify({ model, temperature: 0, messages: [{ role: 'user', content: 'What colour is a lemon?' }] }),
  });
  expect(await answer.json()).toMatchObject({ choices: [{ message: { content: 'A lemon is yellow.' } }] });
  await expect(bar.getByText('1 answered')).toBeVisible();
  // The page that loads again still knows that it is on, and no longer the token.
  await page.reload();
  await expect(bar).toBeVisible();
  await bar.getByRole('button', { name: 'Switch off' }).click();
  await expect(bar).toBeHidden();
  await expect(fetch(`${url}/models`)).rejects.toThrow();
});
