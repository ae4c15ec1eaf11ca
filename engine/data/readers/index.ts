/** Lists the readers, and decides which of them reads a file. */
import type { ColumnMapping } from '../../contract.ts';
import type { DataFileFormat } from '../../data-files.ts';
import { MappedRecords } from '../mapping.ts';
import type { Rewrite } from '../rewriting.ts';
import { csv } from './csv.ts';
import { jsonLines } from './json-lines.ts';
import { json } from './json.ts';
import { parquet } from './parquet/index.ts';
import type { Reader, Reading, RecordOrProblem, RecordPlace } from './reader.ts';
import { openSource, type Source } from './source.ts';
import { document } from './document.ts';

/**
 * Readers are asked in this order. A file that none of them recognizes is read as lines, each of which then reports what is
 * wrong.
 */
const readers: Readonly<Record<DataFileFormat, Reader>> = { parquet, json, jsonl: jsonLines, csv, text: document };

/**
 * Reads the records of a file of any format. A person's edits replace what the file has, and a mapping converts the fields of
 * each record. The file is not copied for either.
 */
export async function* readRecords(
  path: string,
  {
    mapping,
    rewrite = (record) => record,
    ...reading
  }: Reading & { readonly mapping?: ColumnMapping; readonly rewrite?: Rewrite } = {},
): AsyncGenerator<RecordOrProblem> {
  const source = await openSource(path);
  const { onNothing, passOver } = reading;
  const following = onNothing && { onNothing: (place: RecordPlace) => onNothing(withRead(place, source)) };
  const mapped = mapping && new MappedRecords(path, mapping, reading.from == null && !passOver?.rows);
  for await (const read of readerOf(source).read(source, { ...reading, ...following })) {
    // What a reader has not passed over by itself.
    if (passOver !== undefined && passOver.rows > 0) {
      passOver.rows--;
      continue;
    }
    const record = rewrite(read);
    yield withRead(mapped === undefined ? record : mapped.map(record), source);
  }
  mapped?.end();
}

/** Says how a file is read: `CSV with ';' between the columns question and answer, unpacked with gzip`. */
export async function howRead(path: string): Promise<string> {
  const source = await openSource(path);
  return [readerOf(source).describe(source), ...source.steps].join(', ');
}

/** Returns at most `most` bytes of the text of a record in its file, or null for a file that is not text. */
export async function recordText(
  path: string,
  { at, bytes }: Pick<RecordOrProblem, 'at' | 'bytes'>,
  most: number,
): Promise<string | null> {
  const source = await openSource(path);
  if (readerOf(source) === parquet) return null;
  const wanted = Math.min(bytes, most);
  const parts: Buffer[] = [];
  let length = 0;
  for await (const piece of source.pieces(at)) {
    parts.push(piece.bytes);
    length += piece.bytes.length;
    if (length >= wanted) break;
  }
  return Buffer.concat(parts).subarray(0, wanted).toString('utf8').trimEnd();
}

/** Returns whether a file is Parquet. */
export async function isParquet(path: string): Promise<boolean> {
  return readerOf(await openSource(path)) === parquet;
}

function readerOf(source: Source): Reader {
  return Object.values(readers).find(({ recognise }) => recognise(source)) ?? jsonLines;
}

/** Returns a record with the number of bytes of the file that have been read, where its place counts other bytes. */
function withRead<T extends RecordPlace>(record: T, source: Source): T {
  const read = source.read();
  return read === undefined ? record : { ...record, read };
}
