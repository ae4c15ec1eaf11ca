import { createHash } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test, vi } from 'vitest';

const work = mkdtempSync(join(tmpdir(), 'hash-'));
afterAll(() => rmSync(work, { recursive: true }));

/** As a process that has hashed nothing yet. */
async function inNewProcess(files: readonly string[], cacheDir?: string): Promise<string> {
  vi.resetModules();
  return (await import('./hash.ts')).hashOfFiles(files, cacheDir);
}

test('files are read once for all processes with a cache, and again when they change or the cache is damaged', async () => {
  const cacheDir = join(work, 'cache');
  const files = ['a', 'b'].map((name) => join(work, name));
  const write = (text: string, time: number) => {
    writeFileSync(files[1]!, text);
    utimesSync(files[1]!, time, time);
  };
  const sha = (text: string) => createHash('sha256').update(text).digest('hex');
  writeFileSync(files[0]!, 'first ');
  write('weights', 1000);
  expect(await inNewProcess(files, cacheDir)).toBe(sha('first weights'));
  const cachedFiles = () => readdirSync(join(cacheDir, 'hashes')).map((name) => join(cacheDir, 'hashes', name));
  // What is in the cache counts: the files are not read.
  writeFileSync(cachedFiles()[0]!, sha('kept'));
  expect(await inNewProcess(files, cacheDir)).toBe(sha('kept'));
  expect(await inNewProcess(files)).toBe(sha('first weights'));
  // The system's clock for files goes in steps of some milliseconds.
  await new Promise((done) => setTimeout(done, 30));
  // As large as before, and with its time set back as a copy has it.
  write('changed', 1000);
  expect(await inNewProcess(files, cacheDir)).toBe(sha('first changed'));
  const cached = cachedFiles();
  expect(cached.map((path) => readFileSync(path, 'utf8')).sort()).toEqual([sha('first changed'), sha('kept')].sort());
  for (const path of cached) writeFileSync(path, 'no hash');
  expect(await inNewProcess(files, cacheDir)).toBe(sha('first changed'));
  expect(cached.map((path) => readFileSync(path, 'utf8'))).toContain(sha('first changed'));
});
