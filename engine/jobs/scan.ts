/**
 * Runs the job `scan`, which finds out what can be known of a data set without a model: its files, format and number of rows.
 */
import { createHash } from 'node:crypto';
import type { AskedChange, DataChange, DataFiles, DataFormat, DataScan, JobSpec, Split, VersionFile } from '../contract.ts';
import { chooseRows, foundAgain, sourceRows, withChange } from '../data/changes.ts';
import { detectFormat } from '../data/content.ts';
import { readRecords } from '../data/readers/index.ts';
import { hashOfHashes, noRow, type RowFiles, rowFiles } from '../data/row-files.ts';
import { sizeOf } from '../formats/files.ts';
import { Problem } from '../problem.ts';
import type { JobPort } from './port.ts';
import { followFile, followJob, readUnchanged } from './reading.ts';

type Port = Pick<JobPort, 'send' | 'stopRequested'>;

/** Reads what files hold, and how many of their rows are left by what was done to them and by a further change. */
export async function runScan({ data: of, change }: Extract<JobSpec, { kind: 'scan' }>, port: Port): Promise<DataScan> {
  const { changes: before = [], ...files } = of;
  const changes =
    change === undefined
      ? await foundAgain(
          before,
          (['train', 'eval'] as const).flatMap((split) => rowFiles({ data: files, split }).paths),
          followJob('Looking for the rows', port),
        )
      : withChange(before, await namedRows(of, change, port));
  const train = await scan({ data: files, split: 'train' }, port);
  const evaluation = (of.evalPaths?.length ?? 0) > 0 ? await scan({ data: files, split: 'eval' }, port) : null;
  const count = async (split: Split, all: number): Promise<number> => {
    const { paths } = rowFiles({ data: { ...files, changes }, split });
    if (changes.length === 0 || paths.length === 0) return all;
    return (await chooseRows({ paths, split, changes }, followJob('Choosing the rows', port))).count;
  };
  const hash = hashOfSplits(train.hash, evaluation?.hash ?? null);
  return {
    files: [...train.files, ...(evaluation?.files ?? [])],
    changes,
    format: train.format,
    trainRows: await count('train', train.rows),
    evalRows: await count('eval', evaluation?.rows ?? 0),
    hash:
      changes.length === 0
        ? hash
        : createHash('sha256')
            .update(`${hash}\n${JSON.stringify(changes)}`)
            .digest('hex'),
  };
}

/** Returns a change with rows named by where they are in the files, in place of their numbers among those that a person sees. */
async function namedRows(of: DataFiles, change: AskedChange, port: Port): Promise<DataChange> {
  if (change.kind !== 'exclude' && change.kind !== 'edit') return change;
  const asked = change.kind === 'edit' ? [change.row] : change.rows;
  const follow = followJob('Looking for the rows', port);
  const { paths, changes = [], split = 'train' } = rowFiles({ data: of, split: change.split });
  const choice = changes.length === 0 ? null : await chooseRows({ paths, changes, split }, follow);
  const rows = new Set(asked.map((row) => (choice === null ? row : (choice.rowOf(row) ?? -1))));
  const files = await sourceRows(paths, rows, follow);
  const found = files.reduce((sum, { rows: own }) => sum + own.length, 0);
  if (rows.size === 0) throw new Problem('request-invalid', 'No rows were selected.', 'Select at least one row.');
  if (found < rows.size)
    throw new Problem(
      'request-invalid',
      `${rows.size - found} of the selected rows do not exist.`,
      'Reload the rows. The files may have changed.',
    );
  if (change.kind === 'exclude') return { kind: 'exclude', files };
  const { path, rows: own } = files[0]!;
  return { kind: 'edit', path, row: own[0]!, value: change.value };
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
  const { paths, folders = [], ...reading } = rowFiles(of);
  const folderOf = new Map(folders.flatMap((folder) => folder.files.map((file) => [file, folder.path] as const)));
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
      const folder = folderOf.get(path);
      const within = folder === undefined ? {} : { folder };
      files.push({ path, split, bytes: sizeOf(path), sha256: hash.digest('hex'), ...within });
    }
  });
  if (rows === 0) throw noRow(paths);
  return { files, format: format ?? 'unknown', rows, hash: hashOfHashes(files.map(({ sha256 }) => sha256!)) };
}
