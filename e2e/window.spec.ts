import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join, resolve } from 'node:path';
import { expect, test } from './studio.ts';

test('a first start greets with the sample and is closed off from the machine', async ({ studio }) => {
  const { page } = studio;
  await expect(page.getByRole('button', { name: /Try the sample/ })).toBeVisible();
  await expect(page).toHaveTitle('Lowrank Studio');
  // Without a project there is nothing to wait for.
  await page.evaluate(() => void (location.hash = '#/models'));
  await expect(page.getByRole('heading', { name: 'No model yet' })).toBeVisible();

  // The page has the bridge and nothing else.
  const seen = await page.evaluate(() => ({
    bridge: Object.keys((window as unknown as { studio: object }).studio).sort(),
    node: ['require', 'process', 'module', 'Buffer'].filter((name) => name in globalThis),
  }));
  expect(seen).toEqual({ bridge: ['cancel', 'on', 'request'], node: [] });

  // Nor any way out.
  await page.evaluate(() => void (location.href = 'https://example.com/'));
  expect(await page.evaluate(() => window.open('https://example.com/') === null)).toBe(true);
  expect(page.url()).toMatch(/^app:\/\/studio\//);
  expect(await page.evaluate(() => Notification.requestPermission())).toBe('denied');

  await expect(studio.request('models.constructor' as never, {} as never)).rejects.toThrow('not-allowed');
  const machine = await studio.request('machine.get', undefined);
  expect(machine.threads).toBeGreaterThan(0);
});

test('Chromium itself reaches no host and asks no proxy', async ({ studio }) => {
  let reached = 0;
  const server = createServer((_request, response) => response.end(String(++reached))).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const asked = await studio.app.evaluate(async ({ net, session }, port) => {
    const fetched = (host: string) =>
      net.fetch(`http://${host}:${port}/`).then(
        () => 'an answer',
        (error: Error) => error.message,
      );
    return {
      ...{ name: await fetched('localhost'), address: await fetched('127.0.0.1') },
      proxy: await session.defaultSession.resolveProxy('https://example.com/'),
    };
  }, port);
  server.close();
  const refused = 'net::ERR_NAME_NOT_RESOLVED';
  expect({ ...asked, reached }).toEqual({ name: refused, address: refused, proxy: 'DIRECT', reached: 0 });
});

test('what is dropped on the window is opened, and the menu does what the palette does', async ({ studio }) => {
  const { app, page } = studio;
  const rows = resolve(import.meta.dirname, '../resources/samples/json-orders');
  const model = resolve(import.meta.dirname, '../resources/tiny/model');
  const session = await page.context().newCDPSession(page);
  const drop = async (files: string[]): Promise<void> => {
    const at = { x: 600, y: 300, data: { items: [], files, dragOperationsMask: 1 } };
    await session.send('Input.dispatchDragEvent', { type: 'dragEnter', ...at });
    await expect(page.getByText('Drop to open')).toBeVisible();
    await session.send('Input.dispatchDragEvent', { type: 'dragOver', ...at });
    await session.send('Input.dispatchDragEvent', { type: 'drop', ...at });
  };
  await drop([join(rows, 'train.jsonl'), join(rows, 'validate.jsonl')]);
  const importing = page.getByRole('dialog', { name: 'Import data' });
  await expect(importing.getByText(/^Chat messages: 'messages' holds lists/)).toHaveCount(2);
  await importing.getByRole('button', { name: 'Import', exact: true }).click();
  await expect(page.getByRole('heading', { name: 'json-orders', level: 1 })).toBeVisible();
  await expect(page.getByText('204 rows to train, 60 to evaluate')).toBeVisible();
  await drop([join(rows, 'validate.jsonl'), join(rows, 'train.jsonl')]);
  await expect(importing.getByText(/was made from exactly these files/)).toBeVisible();
  await importing.getByRole('button', { name: 'Open it' }).click();
  await expect(importing).toBeHidden();
  await drop([model]);
  await expect(page.getByRole('option', { name: /tiny llama/ })).toBeVisible();

  const menu = (id: string): Promise<boolean> =>
    app.evaluate(({ Menu }, id) => {
      const item = Menu.getApplicationMenu()!.getMenuItemById(id)!;
      if (item.enabled) item.click();
      return item.enabled;
    }, id);
  expect(await menu('stop')).toBe(false);
  expect(await menu('new-run')).toBe(true);
  await expect(page.getByRole('heading', { name: 'New run', level: 1 })).toBeVisible();
  await expect.poll(() => menu('start')).toBe(true);
  await expect(page.getByText('Done', { exact: true })).toBeVisible({ timeout: 200_000 });
  await expect(page.getByText(/json-orders, version 1/).first()).toBeVisible();

  // The text of a button goes with it.
  await page.getByRole('button', { name: 'Delete this run' }).hover();
  await expect(page.getByRole('tooltip')).toHaveText('Delete this run');
  await page.keyboard.press('Control+1');
  await expect(page.getByRole('tooltip')).toBeHidden();
});

test('a second start on the same data folder leaves the first in front and alone', async ({ studio }) => {
  const { Studio } = await import('./studio.ts');
  await expect(Studio.open(studio.dataDir)).rejects.toThrow();
  expect(studio.app.windows()).toHaveLength(1);
});
