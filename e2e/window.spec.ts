import { expect, test } from './studio.ts';

test('a first start greets with the sample and is closed off from the machine', async ({ studio }) => {
  const { page } = studio;
  await expect(page.getByRole('button', { name: /Try the sample/ })).toBeVisible();
  await expect(page).toHaveTitle('Lowrank Studio');

  // The page has the bridge and nothing else.
  const seen = await page.evaluate(() => ({
    bridge: Object.keys((window as unknown as { studio: object }).studio).sort(),
    node: ['require', 'process', 'module', 'Buffer'].filter((name) => name in globalThis),
  }));
  expect(seen).toEqual({ bridge: ['on', 'request'], node: [] });

  // Nor any way out.
  await page.evaluate(() => void (location.href = 'https://example.com/'));
  expect(await page.evaluate(() => window.open('https://example.com/') === null)).toBe(true);
  expect(page.url()).toMatch(/^app:\/\/studio\//);
  expect(await page.evaluate(() => Notification.requestPermission())).toBe('denied');

  await expect(studio.request('models.constructor' as never, {} as never)).rejects.toThrow('not-allowed');
  const machine = await studio.request('machine.get', undefined);
  expect(machine.threads).toBeGreaterThan(0);
});

test('a second start on the same data folder leaves the first in front and alone', async ({ studio }) => {
  const { Studio } = await import('./studio.ts');
  await expect(Studio.open(studio.dataDir)).rejects.toThrow();
  expect(studio.app.windows()).toHaveLength(1);
});
