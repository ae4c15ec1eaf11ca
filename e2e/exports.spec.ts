import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { expect, Studio, test } from './studio.ts';

const golden = (name: string): string => resolve(import.meta.dirname, '../engine/golden/llama-tied', name);

test('an export is proved, taken to LM Studio, and refused there a second time; a stopped one leaves nothing', async ({
  dataDir,
}) => {
  const away = mkdtempSync(join(tmpdir(), 'lowrank-e2e-exports-'));
  const models = join(away, 'lm-studio');
  mkdirSync(models);
  process.env['LOWRANK_LMSTUDIO_MODELS'] = models;
  const studio = await Studio.open(dataDir);
  try {
    const { page } = studio;
    const projectId = (await studio.request('projects.create', { name: 'Exports' })).id;
    await studio.choose([golden('model'), golden('adapter')]);
    const model = await studio.request('models.add', { projectId, path: golden('model') });
    const adapter = await studio.request('adapters.import', { projectId, path: golden('adapter'), modelId: model.id });
    await page.reload();
    await page.getByRole('button', { name: /^Project/ }).click();
    await page.getByRole('menuitem', { name: 'Exports' }).click();
    await page.evaluate((id) => void (location.hash = `#/exports?adapterId=${id}`), adapter.id);

    const out = join(away, 'orders-f16.gguf');
    await studio.answerDialogs([out]);
    await page
      .getByRole('row', { name: /Merged GGUF.*\bf16\b/ })
      .getByRole('button', { name: /Export/ })
      .click();
    const details = page.getByRole('region', { name: 'This export' });
    await expect(details.getByText('Passed')).toBeVisible({ timeout: 200_000 });
    const proof = page.getByRole('region', { name: 'Proof' });
    await expect(proof.getByRole('row', { name: /Same most likely token/ })).toBeVisible();

    await page.getByRole('button', { name: 'Take it to LM Studio' }).click();
    await expect(page.getByText('In LM Studio as lowrank-studio/orders-f16')).toBeVisible();
    expect(readdirSync(join(models, 'lowrank-studio', 'orders-f16'))).toEqual(['orders-f16.gguf']);
    await page.reload();
    await page.getByRole('button', { name: 'Take it to LM Studio' }).click();
    await expect(page.getByRole('alert').filter({ hasText: /already exists and is not replaced/ })).toBeVisible();

    // The embedded model is large enough to be stopped on its way.
    const base = (await studio.request('models.list', { projectId })).find(({ embedded }) => embedded)!;
    const large = join(away, 'large');
    await studio.choose([base.path], large);
    const refused = studio.request('exports.start', {
      projectId,
      model: { id: base.id },
      adapters: [],
      format: 'safetensors',
      quantization: 'f32',
      out: large,
      proof: true,
    });
    const outcome = refused.then(
      () => 'written',
      (error: Error) => error.message,
    );
    await page
      .getByRole('region', { name: 'All exports' })
      .getByRole('button', { name: /^large/ })
      .click();
    await details.getByRole('button', { name: 'Stop' }).click();
    await expect(details.getByText('Stopped', { exact: true })).toBeVisible({ timeout: 200_000 });
    expect(await outcome).toContain('stopped');
    expect(existsSync(large)).toBe(false);
    expect(studio.complaints).toEqual([]);
  } finally {
    await studio.close();
    delete process.env['LOWRANK_LMSTUDIO_MODELS'];
    rmSync(away, { recursive: true, force: true });
  }
});
