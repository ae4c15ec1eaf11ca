/**
 * Runs the job `scan`, which finds out what can be known of a data set without a model: its files, format and number of rows.
 */
import { createHash } from 'node:crypto';
import type {
  AskedChange,
  DataAt,
  DataChange,
  DataFiles,
  DataFormat,
  DataScan,
  JobSpec,
  Mix,
  Split,
  VersionFile,
} from '../contract.ts';
import { withRowsRelocated, type RowsOfFile, sourceRows, withChange } from '../data/changes.ts';
import { detectFormat } from '../data/content.ts';
import { chosenParts } from '../data/mix.ts';
import { readRecords } from '../data/readers/index.ts';
import { hashOfHashes, noRow, rowFiles } from '../data/row-files.ts';
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
      ? await withRowsRelocated(
          before,
          (['train', 'eval'] as const).flatMap((split) => rowFiles({ data: files, split }).paths),
          followJob('Looking for the rows', port),
        )
      : withChange(before, await namedRows(of, change, port));
  const scanned = files.mix === undefined ? await scanFiles(files, port) : await scanMix(files.mix, port);
  const count = async (split: Split, all: number): Promise<number> => {
    const left = rowFiles({ data: { ...files, changes }, split });
    if (left.paths.length === 0) return 0;
    const parts = await chosenParts(left, followJob('Choosing the rows', port));
    return parts.reduce((sum, { choice }) => sum + (choice?.count ?? all), 0);
  };
  return {
    ...{ files: scanned.files, changes, format: scanned.format },
    trainRows: await count('train', scanned.rows.train),
    evalRows: await count('eval', scanned.rows.eval),
    hash: withChanges(scanned.hash, changes),
  };
}

/** Returns a change with rows named by where they are in the files, in place of their numbers among those that a person sees. */
async function namedRows(of: DataAt, change: AskedChange, port: Port): Promise<DataChange> {
  if (change.kind !== 'exclude' && change.kind !== 'edit') return change;
  const asked = change.kind === 'edit' ? [change.row] : change.rows;
  const seen = rowFiles({ data: of, split: change.split });
  const parts = await chosenParts(seen, followJob('Choosing the rows', port));
  const files: RowsOfFile[] = [];
  let [first, wanted] = [0, 0];
  for (const {
    files: { paths },
    choice,
  } of parts) {
    const before = first;
    const rows = new Set(asked.map((row) => (choice === null ? row : (choice.rowOf(row - before) ?? -1))));
    rows.delete(-1);
    first += choice?.count ?? 0;
    wanted += rows.size;
    files.push(...(rows.size === 0 ? [] : await sourceRows(paths, rows, followJob('Looking for the rows', port))));
  }
  const found = files.reduce((sum, { rows: own }) => sum + own.length, 0);
  if (asked.length === 0) throw new Problem('request-invalid', 'No rows were selected.', 'Select at least one row.');
  const missing = asked.filter((row) => parts[0]!.choice !== null && row >= first).length + wanted - found;
  if (missing > 0)
    throw new Problem(
      'request-invalid',
      `${missing} of the selected rows do not exist.`,
      'Reload the rows. The files may have changed.',
    );
  if (change.kind === 'exclude') return { kind: 'exclude', files: byPath(files) };
  const { path, rows: own } = files[0]!;
  return { kind: 'edit', path, row: own[0]!, value: change.value };
}

/** Joins rows of the same file: two parts of a mix may be of one. */
function byPath(files: readonly RowsOfFile[]): RowsOfFile[] {
  return [...Map.groupBy(files, ({ path }) => path)].map(([path, same]) => ({
    path,
    rows: [...new Map(same.flatMap(({ rows }) => rows).map((one) => [one.row, one])).values()],
  }));
}

interface ScannedFiles {
  readonly files: readonly VersionFile[];
  readonly format: DataFormat;
  readonly rows: Readonly<Record<Split, number>>;
  /** Holds the hash of the files alone. */
  readonly hash: string;
}

async function scanFiles(data: DataFiles, port: Port): Promise<ScannedFiles> {
  const [train, evaluation] = [
    data.paths.length === 0 ? null : await scan({ data, split: 'train' }, port),
    (data.evalPaths?.length ?? 0) === 0 ? null : await scan({ data, split: 'eval' }, port),
  ];
  return {
    files: [...(train?.files ?? []), ...(evaluation?.files ?? [])],
    format: (train ?? evaluation)?.format ?? 'unknown',
    rows: { train: train?.rows ?? 0, eval: evaluation?.rows ?? 0 },
    hash: hashOfSplits(train?.hash ?? '', evaluation?.hash ?? null),
  };
}

/** Scans a mix. Its hash covers the parts with what was done to their rows, and its numbers. */
async function scanMix({ parts, seed }: Mix, port: Port): Promise<ScannedFiles> {
  const scanned: ScannedFiles[] = [];
  for (const { data } of parts) scanned.push(await scanFiles(data, port));
  const hashed = parts.map(({ data: { mapping = null, changes = [] }, repeat, most = null }, i) => [
    withChanges(scanned[i]!.hash, changes),
    ...[mapping, repeat, most],
  ]);
  // Two parts may be of one file.
  const files = new Map(scanned.flatMap((one) => one.files).map((file) => [`${file.split} ${file.path}`, file]));
  const rows = (split: Split) => scanned.reduce((sum, one) => sum + one.rows[split], 0);
  return {
    files: [...files.values()],
    format: scanned[0]!.format,
    rows: { train: rows('train'), eval: rows('eval') },
    hash: createHash('sha256')
      .update(JSON.stringify([seed, hashed]))
      .digest('hex'),
  };
}

function withChanges(hash: string, changes: readonly DataChange[]): string {
  if (changes.length === 0) return hash;
  return createHash('sha256')
    .update(`${hash}\n${JSON.stringify(changes)}`)
    .digest('hex');
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

async function scan(of: { readonly data: DataFiles; readonly split: Split }, port: Port): Promise<Scanned> {
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
