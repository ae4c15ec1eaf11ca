/** Decides by the ending of a file's name in which format rows are written. */
import { extname } from 'node:path';
import { dataEndings, dataFiles } from '../../data-files.ts';
import type { AtomicFile } from '../../formats/files.ts';
import type { KeptType } from '../readers/parquet/kept-types.ts';
import { Problem } from '../../problem.ts';
import { JsonLinesWriter } from './json-lines.ts';
import { ParquetWriter } from './parquet/index.ts';
import type { RowWriter } from './writer.ts';

/** Throws a `Problem` where a file's name has the ending of a format that is read and not written. */
export function requireWritable(path: string): void {
  const ending = endingOf(path);
  const isWritten = [...dataFiles.jsonl.endings, ...dataFiles.parquet.endings].some((written) => written === ending);
  if (!isWritten && dataEndings.includes(ending))
    throw new Problem(
      'request-invalid',
      `'${path}' ends with .${ending}, and rows are written as JSONL or Parquet.`,
      'Let the name end with .jsonl or .parquet.',
    );
}

/** Returns the writer of rows for `file`, by its name: Parquet with columns of these types, or JSONL for any other name. */
export function writerOf(file: AtomicFile, types?: ReadonlyMap<string, KeptType>): RowWriter {
  return isParquetName(file.path) ? new ParquetWriter(file, types) : new JsonLinesWriter(file);
}

/** Returns whether rows are written as Parquet to a file of this name. */
export function isParquetName(path: string): boolean {
  return (dataFiles.parquet.endings as readonly string[]).includes(endingOf(path));
}

function endingOf(path: string): string {
  return extname(path).slice(1).toLowerCase();
}
