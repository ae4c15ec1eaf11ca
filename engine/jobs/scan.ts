/**
 * Runs the job `scan`, which finds out what can be known of a data set without a model: its files, format and number of rows.
 */
import { createHash } from 'node:crypto';
import type { DataFormat, DataScan, JobSpec, Split, VersionFile } from '../contract.ts';
import { detectFormat } from '../data/content.ts';
import { readRecords } from '../data/readers/index.ts';
import { type RowFiles, rowFiles } from '../data/row-files.ts';
import { hashOfHashes, noRow } from '../data/rows.ts';
import { sizeOf } from '../formats/files.ts';
import type { JobPort } from './port.ts';
import { followFile, readUnchanged } from './reading.ts';

type Port = Pick<JobPort, 'send' | 'stopRequested'>;

export async function runScan({ data }: Extract<JobSpec, { kind: 'scan' }>, port: Port): Promise<DataScan> {
  const train = await scan({ data, split: 'train' }, port);
  const evaluation = (data.evalPaths?.length ?? 0) > 0 ? await scan({ data, split: 'eval' }, port) : null;
  return {
    files: [...train.files, ...(evaluation?.files ?? [])],
    format: train.format,
    trainRows: train.rows,
    evalRows: evaluation?.rows ?? 0,
    hash: hashOfSplits(train.hash, evaluation?.hash ?? null),
  };
}

/** Returns the hash of a data set. Without evaluation files it is the hash of the training files, which runs record. */
function hashOfSplits(train: string, evaluation: string | null): string {
  return evaluation === null ? train : createHash('sha256').update(`${train}\n/\n${evaluation}`).digest('hex');
}

interface Scanned {
  readonly files: readonly VersionFile[];
  readonly format: DataFormat;
  readonly rows: number;
  readonly hash: string;
}

async function scan(of: { readonly data: RowFiles; readonly split: Split }, port: Port): Promise<Scanned> {
  const { split } = of;
  const { paths, ...reading } = rowFiles(of);
  const files: VersionFile[] = [];
  let format: DataFormat | null = null;
  let rows = 0;
  await readUnchanged(paths, async () => {
    for (const path of paths) {
      const hash = createHash('sha256');
      const follow = followFile('Reading the rows', path, port);
      for await (const record of readRecords(path, { hash, ...reading })) {
        follow(record);
        rows++;
        if ('value' in record) format ??= detectFormat(record.value);
      }
      files.push({ path, split, bytes: sizeOf(path), sha256: hash.digest('hex') });
    }
  });
  if (rows === 0) throw noRow(paths);
  return { files, format: format ?? 'unknown', rows, hash: hashOfHashes(files.map(({ sha256 }) => sha256!)) };
}
