import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { silentPort } from '../testing/port.ts';
import { runScan } from './scan.ts';

const work = mkdtempSync(join(tmpdir(), 'scan-'));
afterAll(() => rmSync(work, { recursive: true }));
const file = (name: string, ids: readonly number[]): string => {
  writeFileSync(join(work, name), ids.map((id) => `${JSON.stringify({ input_ids: [id, id + 1] })}\n`).join(''));
  return join(work, name);
};

it('a data set is another one when its rows to evaluate on are', async () => {
  const [train, evaluation, other] = [file('a.jsonl', [1, 2]), file('b.jsonl', [3]), file('c.jsonl', [4])];
  const hashOf = async (trainPaths: string[], evalPaths: string[]) =>
    (await runScan({ kind: 'scan', data: { paths: trainPaths, evalPaths } }, silentPort)).hash;
  const hashes = [
    await hashOf([train], []),
    await hashOf([train], [evaluation]),
    await hashOf([train], [other]),
    await hashOf([train, evaluation], []),
    await hashOf([evaluation], [train]),
  ];
  expect(new Set(hashes).size).toBe(hashes.length);
  // A copy under another name is the same one.
  expect(await hashOf([train], [file('d.jsonl', [3])])).toBe(hashes[1]);
});
