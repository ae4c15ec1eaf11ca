import { createHash } from 'node:crypto';
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statfsSync,
  statSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeEach, describe, expect, it } from 'vitest';
import { isSoundExpansion, makeRoom, recordExpansion, useExpansion } from './expansions.ts';
import { openModel, quantizedModel } from './open.ts';

const root = mkdtempSync(join(tmpdir(), 'expansions-'));
afterAll(() => rmSync(root, { recursive: true }));
let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(root, 'cache-'));
});

describe('expanded weights in the cache', () => {
  const model = quantizedModel(openModel(join(import.meta.dirname, '../golden/llama-tied/model')), '4bit');
  const expansion = async (): Promise<string> => {
    const [first] = (await model.weights.files(folder)).values();
    return 'path' in first! ? first.path : first!.halves.path;
  };
  const flip = (path: string): void => {
    const bytes = readFileSync(path);
    bytes[bytes.length >> 1]! ^= 4;
    writeFileSync(path, bytes);
  };

  it('are written again after one bit of them has changed, also where size and time are the same', async () => {
    const made = (await readdirOf(model.weights.files(folder))).find((name) => name.endsWith('.packed'))!;
    const path = join(folder, 'weights', made);
    const sound = readFileSync(path);
    const { atime, mtime } = statSync(path);
    flip(path);
    utimesSync(path, atime, mtime);
    await expansion();
    expect(readFileSync(path).equals(sound)).toBe(true);
    rmSync(`${path}.hash`);
    flip(path);
    await expansion();
    expect(readFileSync(path).equals(sound)).toBe(true);
  });

  async function readdirOf(work: Promise<unknown>): Promise<string[]> {
    await work;
    return readdirSync(join(folder, 'weights'));
  }

  it('that a killed process left half-written go, whatever the clock says; those of a living one stay', async () => {
    const weights = join(folder, 'weights');
    mkdirSync(weights);
    const [left, written] = ['a.packed.partial-4194304-x', `b.packed.partial-${process.ppid}-x`];
    for (const name of [left, written]) writeFileSync(join(weights, name), '');
    utimesSync(join(weights, written), 0, 0);
    const names = await readdirOf(model.weights.files(folder));
    expect(names).not.toContain(left);
    expect(names).toContain(written);
  });

  it('that nobody touched are used as they are, and hashed again after a day', async () => {
    const made = (await readdirOf(model.weights.files(folder))).find((name) => name.endsWith('.packed'))!;
    const path = join(folder, 'weights', made);
    const before = statSync(path).ino;
    await expansion();
    expect(statSync(path).ino).toBe(before);
    const { size } = statSync(path);
    const record = JSON.parse(readFileSync(`${path}.hash`, 'utf8')) as Record<string, unknown>;
    writeFileSync(`${path}.hash`, JSON.stringify({ ...record, checkedAt: Date.now() - 25 * 3600 * 1000, sha256: 'another' }));
    expect(isSoundExpansion(path, size)).toBe(false);
    writeFileSync(`${path}.hash`, JSON.stringify({ ...record, checkedAt: 0 }));
    expect(isSoundExpansion(path, size)).toBe(true);
  });
});

describe('room in the cache', () => {
  /** Takes no space on the disk. */
  function sparse(name: string, bytes: number, lastUse: number): string {
    const path = join(folder, name);
    writeFileSync(path, '');
    truncateSync(path, bytes);
    writeFileSync(`${path}.hash`, '');
    utimesSync(`${path}.hash`, lastUse, lastUse);
    return path;
  }

  it('is made with what was not used for longest, and never with what is in use', () => {
    const { bavail, bsize } = statfsSync(folder);
    const third = Math.floor((bavail * bsize) / 3);
    useExpansion(sparse('used.f32', third, 1));
    for (const [name, lastUse] of [
      ['old.packed', 2],
      ['new.f32', 4],
      ['middle.f32', 3],
    ] as const)
      sparse(name, third, lastUse);
    // Of a process that has ended.
    writeFileSync(join(folder, `old.packed.used-${2 ** 22 + 1}`), '');
    const left = () => readdirSync(folder).filter((name) => /\.(f32|packed)$/.test(name));
    makeRoom(folder, 0);
    expect(left().sort()).toEqual(['middle.f32', 'new.f32', 'used.f32']);
    expect(readdirSync(folder).some((name) => name.startsWith('old.'))).toBe(false);
    makeRoom(folder, third);
    expect(left().sort()).toEqual(['new.f32', 'used.f32']);
  });

  it('is left alone where there is enough', () => {
    const path = sparse('a.f32', 10, 1);
    recordExpansion(path, createHash('sha256').update(Buffer.alloc(10)).digest('hex'));
    makeRoom(folder, 10);
    expect(isSoundExpansion(path, 10)).toBe(true);
  });
});
