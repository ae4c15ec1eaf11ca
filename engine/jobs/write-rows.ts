/** Runs the job `write-rows`, which writes the rows of files, with all changes applied, to a file of JSON Lines or Parquet. */
import { existsSync, realpathSync } from 'node:fs';
import { dirname } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import type { JobSpec, WrittenRows } from '../contract.ts';
import { chosenParts } from '../data/mix.ts';
import { isParquet, readRecords } from '../data/readers/index.ts';
import { columnTypes, type KeptType } from '../data/readers/parquet/kept-types.ts';
import { columnsWithoutType, hasLarge, type WithoutType } from '../data/readers/parquet/without-type.ts';
import { rewriteOf, rewritings } from '../data/rewriting.ts';
import { rowFiles } from '../data/row-files.ts';
import { isParquetName, requireWritable, writerOf } from '../data/writers/index.ts';
import { AtomicFile, makeFolder } from '../formats/files.ts';
import { toWriteProblem } from '../formats/folder.ts';
import { Problem, type ProblemValue, shown } from '../problem.ts';
import type { JobPort } from './port.ts';
import { followFile, followJob, readUnchanged } from './reading.ts';

/** Gives the number of rows that are left out whose reasons are listed. */
const mostReasons = 20;

/**
 * Writes the rows of a split in order, each as it is in its file or as its mapping makes it. Stops at a row that cannot be
 * read, unless such rows are to be left out.
 */
export async function runWriteRows(
  { out, replace, skipBadRows, ...of }: Extract<JobSpec, { kind: 'write-rows' }>,
  port: Pick<JobPort, 'send' | 'stopRequested'>,
): Promise<WrittenRows> {
  const files = rowFiles(of);
  const { paths } = files;
  if (paths.length === 0)
    throw new Problem('data-empty', 'There are no evaluation rows.', 'Hold some rows back, or write the training rows.');
  requireWritable(out);
  if (!replace && existsSync(out))
    throw new Problem('folder-not-empty', `'${out}' already exists.`, 'Choose another name, or allow replacing it.');
  if (existsSync(out) && paths.some((path) => realpathSync(path) === realpathSync(out)))
    throw new Problem('request-invalid', `The rows are read from '${out}'.`, 'Write them to another file.');
  const parts = await chosenParts(files, followJob('Choosing the rows', port));
  /** Maps what is said of columns to the column. */
  const changed = new Map<string, string>();
  let kept: ReadonlySet<string> = new Set();
  let leftOut = { rows: 0, reasons: [] as string[] };
  let file: AtomicFile | null = null;
  try {
    makeFolder(dirname(out));
    file = new AtomicFile(out);
    const rows = await readUnchanged(paths, () => write(file!));
    file.finish();
    return {
      path: out,
      rows,
      bytes: file.position,
      changed: [...changed].flatMap(([how, column]) => (kept.has(column) ? [] : how)),
      leftOut,
    };
  } catch (error) {
    throw error instanceof Problem ? error : toWriteProblem(out, error);
  } finally {
    file?.abort();
  }

  async function write(to: AtomicFile): Promise<number> {
    const writer = writerOf(to, isParquetName(out) ? await typesOfAll() : undefined);
    if (writer.look !== undefined) for await (const row of rows('Looking at the columns')) writer.look(row);
    let count = 0;
    for await (const row of rows('Writing the rows')) {
      writer.write(row);
      count++;
    }
    writer.end();
    kept = writer.kept ?? kept;
    return count;
  }

  async function* rows(doing: string): AsyncGenerator<Readonly<Record<string, unknown>>> {
    leftOut = { rows: 0, reasons: [] };
    let first: ProblemValue | null = null;
    let isEmpty = true;
    for (const {
      files: { paths: ofPart, mapping, changes = [] },
      choice,
    } of parts) {
      let number = 0;
      for (const path of ofPart) {
        const follow = followFile(doing, path, port);
        const lost = mapping ? [] : await lostTypes(path);
        for await (const record of readRecords(path, {
          ...(mapping && { mapping }),
          ...rewriteOf(rewritings(changes), path),
        })) {
          follow(record);
          const times = choice?.times(number++) ?? 1;
          if (times === 0) continue;
          if ('problem' in record) {
            leaveOut(record.problem);
            first ??= record.problem;
            continue;
          }
          for (const { column, how, onlyLarge } of lost)
            if (!onlyLarge || hasLarge(record.value[column])) changed.set(`'${shown(column)}': ${how}`, column);
          isEmpty = false;
          for (let copy = 0; copy < times; copy++) yield record.value;
        }
      }
    }
    // A file without any row helps nobody.
    if (isEmpty && first !== null) throw Problem.fromValue(first);
  }

  /** Counts a row that cannot be read. Throws its problem where such rows are not to be left out. */
  function leaveOut(problem: ProblemValue): void {
    if (!skipBadRows)
      throw Problem.fromValue({ ...problem, hint: `${problem.hint} With --skip-bad-rows such rows are left out.` });
    leftOut.rows++;
    if (leftOut.reasons.length < mostReasons) leftOut.reasons.push(problem.message);
  }

  /** Returns the types of the columns that have the same type in all files; rows of other formats and mapped ones have none. */
  async function typesOfAll(): Promise<ReadonlyMap<string, KeptType>> {
    const found = new Map<string, KeptType | null>();
    for (const { files: part } of parts)
      for (const path of part.paths) {
        if (part.mapping !== undefined || !(await isParquet(path))) return new Map();
        for (const [name, type] of await columnTypes(path)) {
          const before = found.get(name);
          found.set(name, before === undefined || isDeepStrictEqual(before, type) ? type : null);
        }
      }
    return new Map([...found].flatMap(([name, type]) => (type === null ? [] : [[name, type] as const])));
  }

  async function lostTypes(path: string): Promise<readonly WithoutType[]> {
    return (await isParquet(path)) ? columnsWithoutType(path, isParquetName(out) ? 'parquet' : 'jsonl') : [];
  }
}
