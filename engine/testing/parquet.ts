/** Writes Parquet files of one column and one page for tests. They may state things about themselves that are not true. */

import { i32, i64, list, struct, text, varint } from '../data/writers/parquet/thrift.ts';

export interface OnePage {
  /** Holds the bytes of the page; `unpacked` is the size that its header states. */
  readonly page: Buffer;
  readonly unpacked: number;
  readonly codec: number;
  /** Counts the rows of the table and the values of its page. */
  readonly rows: number;
  /** Is 0 for plain. */
  readonly encoding?: number;
  readonly checksum?: number;
}

/** Returns a file with the column `text`, whose page begins with definition levels. */
export function parquetOf({ page, unpacked, codec, rows, encoding = 0, checksum }: OnePage): Buffer {
  const header = struct({
    1: i32(0),
    2: i32(unpacked),
    3: i32(page.length),
    ...(checksum === undefined ? {} : { 4: i32(checksum) }),
    5: struct({ 1: i32(rows), 2: i32(encoding), 3: i32(3), 4: i32(3) }),
  }).bytes;
  const bytes = header.length + page.length;
  const meta = struct({ 1: i32(6), 3: list([]), 4: i32(codec), 5: i64(rows), 6: i64(unpacked), 7: i64(bytes), 9: i64(4) });
  const schema = [struct({ 4: text('schema'), 5: i32(1) }), struct({ 1: i32(6), 3: i32(1), 4: text('text'), 6: i32(0) })];
  const group = struct({ 1: list([struct({ 2: i64(4), 3: meta })]), 2: i64(bytes), 3: i64(rows) });
  const footer = struct({ 1: i32(1), 2: list(schema), 3: i64(rows), 4: list([group]) }).bytes;
  const length = Buffer.alloc(4);
  length.writeUInt32LE(footer.length);
  return Buffer.concat([Buffer.from('PAR1'), header, page, footer, length, Buffer.from('PAR1')]);
}

/** Returns definition levels: one run of `count` times `level`. */
export function levels(count: number, level: 0 | 1): Buffer {
  const run = Buffer.concat([varint(2 * count), Buffer.from([level])]);
  const length = Buffer.alloc(4);
  length.writeUInt32LE(run.length);
  return Buffer.concat([length, run]);
}

/** Returns a text as a plain page holds it. */
export function plainText(text: string): Buffer {
  const length = Buffer.alloc(4);
  length.writeUInt32LE(Buffer.byteLength(text));
  return Buffer.concat([length, Buffer.from(text)]);
}
