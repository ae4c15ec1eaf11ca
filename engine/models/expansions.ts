/**
 * Keeps the cache of expanded weights: files of gigabytes that are computed from a model once and then used for months. A
 * record beside each file holds its hash, which shows whether it changed. A file is not removed while a process is registered
 * as using it.
 */
import { existsSync, readdirSync, rmSync, statfsSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { fileStamp, isRunning, readText, writeFileAtomic } from '../formats/files.ts';
import { hashBytes } from './hash.ts';

/** The cache takes at most this share of the space that is free or already its own. */
const largestShare = 0.5;
/** An unchanged file is read and hashed again after this many milliseconds, because disks lose bits without a trace. */
const trustedMilliseconds = 24 * 3600 * 1000;

interface HashRecord {
  readonly sha256: string;
  /** Gives the identity of the file when it was last found to have the hash. */
  readonly identity: string | null;
  readonly checkedAt: number;
}

const recordOf = (path: string): string => `${path}.hash`;

/** Says whether the file exists and is as it was written. It is hashed where that is not certain, at about a second per GB. */
export function isSoundExpansion(path: string, size: number): boolean {
  if (statSync(path, { throwIfNoEntry: false })?.size !== size) return false;
  const record = readRecord(path);
  if (record === null) return false;
  const age = Date.now() - record.checkedAt;
  if (record.identity === fileStamp(path) && age >= 0 && age < trustedMilliseconds) return true;
  if (hashBytes([path]) !== record.sha256) return false;
  recordExpansion(path, record.sha256);
  return true;
}

/** Records the hash of a file that was just written or checked. */
export function recordExpansion(path: string, sha256: string): void {
  const record: HashRecord = { sha256, identity: fileStamp(path), checkedAt: Date.now() };
  writeFileAtomic(recordOf(path), JSON.stringify(record));
}

function readRecord(path: string): HashRecord | null {
  try {
    const record = JSON.parse(readText(recordOf(path), 4096)) as Partial<HashRecord> | null;
    const { sha256, identity, checkedAt } = record ?? {};
    if (typeof sha256 !== 'string' || typeof identity !== 'string' || typeof checkedAt !== 'number') return null;
    return { sha256, identity, checkedAt };
  } catch {
    // Without a record it is not known what the file should be, and it is written again.
    return null;
  }
}

// ── Use and room ────────────────────────────────────────────────────────────────────────────────────────────────────────

const used = new Set<string>();

/** Registers that this process uses the file, so that it is not removed until the process ends. */
export function useExpansion(path: string): void {
  const sign = `${path}.used-${process.pid}`;
  const now = new Date();
  if (existsSync(recordOf(path))) utimesSync(recordOf(path), now, now);
  if (used.has(sign)) return;
  writeFileSync(sign, '');
  if (used.size === 0)
    process.once('exit', () => {
      for (const one of used) rmSync(one, { force: true });
    });
  used.add(sign);
}

/** Removes the least recently used files until `size` more bytes are within the cache's share of the disk. */
export function makeRoom(folder: string, size: number): void {
  const names = readdirSync(folder);
  const inUse = new Set<string>();
  for (const name of names) {
    const [, of, pid] = /^(.+)\.used-(\d+)$/.exec(name) ?? [];
    if (of === undefined) continue;
    if (isRunning(Number(pid))) inUse.add(of);
    else rmSync(join(folder, name), { force: true });
  }
  const files = names
    .filter((name) => /\.(f32|packed)$/.test(name))
    .map((name) => {
      const path = join(folder, name);
      const record = statSync(recordOf(path), { throwIfNoEntry: false });
      return { path, bytes: statSync(path, { throwIfNoEntry: false })?.size ?? 0, lastUse: record?.mtimeMs ?? 0 };
    })
    .sort((a, b) => a.lastUse - b.lastUse);
  const { bavail, bsize } = statfsSync(folder);
  let taken = files.reduce((sum, { bytes }) => sum + bytes, 0);
  const most = largestShare * (bavail * bsize + taken);
  for (const { path, bytes } of files) {
    if (taken + size <= most) return;
    if (inUse.has(basename(path))) continue;
    rmSync(path, { force: true });
    rmSync(recordOf(path), { force: true });
    taken -= bytes;
  }
}
