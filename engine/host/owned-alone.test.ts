import { chmodSync, chownSync, mkdirSync, mkdtempSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { ownedAlone } from './owned-alone.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'lowrank-owned-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));
const modeOf = (...names: string[]) => statSync(join(folder, ...names)).mode & 0o777;

test.skipIf(process.platform === 'win32')('rights that others had in a data folder are taken', () => {
  chmodSync(folder, 0o755);
  for (const name of ['cache', 'runs', 'backups', 'host']) {
    mkdirSync(join(folder, name));
    chmodSync(join(folder, name), 0o777);
  }
  for (const name of ['studio.sqlite', 'studio.sqlite-wal', 'studio.sqlite-shm', 'studio.sqlite.version-2.bak']) {
    writeFileSync(join(folder, name), '');
    chmodSync(join(folder, name), 0o644);
  }
  // What a link leads to is not ours to change.
  const elsewhere = mkdtempSync(join(tmpdir(), 'lowrank-elsewhere-'));
  chmodSync(elsewhere, 0o755);
  symlinkSync(elsewhere, join(folder, 'damaged'));

  expect(ownedAlone(folder)).toBeNull();
  expect(modeOf()).toBe(0o700);
  for (const name of ['cache', 'runs', 'backups', 'host']) expect(modeOf(name)).toBe(0o700);
  expect(modeOf('studio.sqlite')).toBe(0o600);
  expect(modeOf('studio.sqlite-wal')).toBe(0o600);
  expect(modeOf('studio.sqlite.version-2.bak')).toBe(0o600);
  expect(statSync(elsewhere).mode & 0o777).toBe(0o755);
  rmSync(elsewhere, { recursive: true });
});

test.skipIf(process.platform === 'win32' || process.getuid?.() !== 0)(
  'a folder of somebody else is said to be, and left alone',
  () => {
    chownSync(folder, 12_345, 12_345);
    chmodSync(folder, 0o755);
    expect(ownedAlone(folder)).toMatchObject({
      code: 'not-allowed',
      message: expect.stringContaining('belongs to another user'),
    });
    expect(modeOf()).toBe(0o755);
  },
);
