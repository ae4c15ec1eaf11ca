import { mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';

vi.mock('electron', () => ({ protocol: {} }));
const { contentSecurityPolicy, findInside } = await import('./protocol.ts');

describe('files of the page', () => {
  let folder: string;
  beforeAll(() => {
    folder = realpathSync(mkdtempSync(join(tmpdir(), 'lowrank-protocol-')));
    mkdirSync(join(folder, 'page', 'assets'), { recursive: true });
    mkdirSync(join(folder, 'page-secret'));
    for (const name of ['page/index.html', 'page/assets/a b.js', 'page-secret/key', 'outside'])
      writeFileSync(join(folder, name), '');
    symlinkSync(join(folder, 'outside'), join(folder, 'page', 'link'));
  });
  afterAll(() => rmSync(folder, { recursive: true }));

  it('finds what is inside', async () => {
    expect(await findInside(join(folder, 'page'), '/')).toBe(join(folder, 'page', 'index.html'));
    expect(await findInside(join(folder, 'page'), '/assets/a%20b.js')).toBe(join(folder, 'page', 'assets', 'a b.js'));
  });

  it.each([
    '/../outside',
    '/..%2foutside',
    '/%2e%2e/outside',
    '/..%2fpage-secret%2fkey',
    '/link',
    '/..%5coutside',
    '/a%00',
    '/%',
    '/none',
  ])('never leaves the folder: %s', async (pathname) => {
    expect(await findInside(join(folder, 'page'), pathname)).toBeNull();
  });
});

it('allows nothing by default and no inline script', () => {
  expect(contentSecurityPolicy).toContain("default-src 'none'");
  expect(contentSecurityPolicy).toMatch(/script-src 'self'(;|$)/);
});
