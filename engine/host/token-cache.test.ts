import { existsSync, mkdirSync, mkdtempSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { keptRowsFolder } from '../data/kept-rows.ts';
import { tokenCacheBytes, TokenCacheKeeper } from './token-cache.ts';

let cacheDir: string;
beforeEach(() => {
  cacheDir = mkdtempSync(join(tmpdir(), 'lowrank-token-cache-'));
});
afterEach(() => rmSync(cacheDir, { recursive: true }));

/** Writes a file of so many bytes that was last used at a given time. */
function file(name: string, bytes: number, usedAt: number): string {
  mkdirSync(keptRowsFolder(cacheDir), { recursive: true });
  const path = join(keptRowsFolder(cacheDir), name);
  writeFileSync(path, new Uint8Array(bytes));
  utimesSync(path, usedAt, usedAt);
  return path;
}

test('what was used longest ago goes first, until the rest is within the limit', () => {
  const keeper = new TokenCacheKeeper(cacheDir);
  expect(tokenCacheBytes(cacheDir)).toBe(0);
  const [middle, newest, oldest] = [file('a', 300, 20), file('b', 300, 30), file('c', 10, 10)];
  expect(tokenCacheBytes(cacheDir)).toBe(610);
  keeper.look(610);
  expect([newest, middle, oldest].map((path) => existsSync(path))).toEqual([true, true, true]);
  keeper.look(600);
  expect([newest, middle, oldest].map((path) => existsSync(path))).toEqual([true, true, false]);
  keeper.look(299);
  expect(tokenCacheBytes(cacheDir)).toBe(0);
  keeper.stop();
});

test('what a killed job left half-written goes at once, and not what a living one writes', () => {
  const dead = 2 ** 22 + 1;
  const [left, written] = [file(`a.partial-${dead}-x`, 5, 10), file(`b.partial-${process.pid}-y`, 7, 10)];
  new TokenCacheKeeper(cacheDir).stop();
  expect([left, written].map((path) => existsSync(path))).toEqual([false, true]);
});
