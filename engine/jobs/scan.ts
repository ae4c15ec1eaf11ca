/** Job `scan`: what a data set is, without a model: its format, its number of rows and its hash. */
import { createHash } from 'node:crypto';
import type { DataFormat, DataScan, JobSpec } from '../contract.ts';
import { detectFormat } from '../data/content.ts';
import { readRecords } from '../data/readers/index.ts';
import { hashOfHashes, noRow } from '../data/rows.ts';
import type { JobPort } from './port.ts';
import { followFile, readUnchanged } from './reading.ts';

type Port = Pick<JobPort, 'send' | 'stopRequested'>;

export async function runScan(spec: Extract<JobSpec, { kind: 'scan' }>, port: Port): Promise<DataScan> {
  const train = await scan(spec.trainPaths, port);
  const evaluation = spec.evalPaths.length > 0 ? await scan(spec.evalPaths, port) : null;
  return {
    format: train.format,
    trainRows: train.rows,
    evalRows: evaluation?.rows ?? 0,
    hash: hashOfSplits(train.hash, evaluation?.hash ?? null),
  };
}

/** Without evaluation files it is that of the training files, as runs record it. */
export function hashOfSplits(train: string, evaluation: string | null): string {
  return evaluation === null ? train : createHash('sha256').update(`${train}\n/\n${evaluation}`).digest('hex');
}

async function scan(
  paths: readonly string[],
  port: Port,
): Promise<{ readonly format: DataFormat; readonly rows: number; readonly hash: string }> {
  const hashes: string[] = [];
  let format: DataFormat | null = null;
  let rows = 0;
  await readUnchanged(paths, async () => {
    for (const path of paths) {
      const hash = createHash('sha256');
      const follow = followFile('Reading the rows', path, port);
      for await (const record of readRecords(path, { hash })) {
        follow(record);
        rows++;
        if ('value' in record) format ??= detectFormat(record.value);
      }
      hashes.push(hash.digest('hex'));
    }
  });
  if (rows === 0) throw noRow(paths);
  return { format: format ?? 'messages', rows, hash: hashOfHashes(hashes) };
}
