/** For tests: Parquet files of one column and one page, which may say of themselves what is not true. */

/** Fields of a struct in Thrift's compact protocol, by their number in rising order. */
interface Fields {
  readonly [field: number]: number | string | Fields | readonly Fields[];
}

function varint(value: number): Buffer {
  const bytes: number[] = [];
  let rest = value;
  for (; rest >= 128; rest = Math.floor(rest / 128)) bytes.push((rest % 128) + 128);
  return Buffer.from([...bytes, rest]);
}

function struct(fields: Fields): Buffer {
  let last = 0;
  const parts = Object.entries(fields).map(([number, value]) => {
    const delta = Number(number) - last;
    last = Number(number);
    const field = (type: number, content: Buffer) => Buffer.concat([Buffer.from([delta * 16 + type]), content]);
    if (typeof value === 'number') return field(6, varint(2 * value));
    if (typeof value === 'string') return field(8, Buffer.concat([varint(Buffer.byteLength(value)), Buffer.from(value)]));
    if (!Array.isArray(value)) return field(12, struct(value as Fields));
    const entries = (value as readonly Fields[]).map(struct);
    return field(9, Buffer.concat([Buffer.from([entries.length * 16 + 12]), ...entries]));
  });
  return Buffer.concat([...parts, Buffer.from([0])]);
}

export interface OnePage {
  /** Bytes of the page, and what its header says that they unpack to. */
  readonly page: Buffer;
  readonly unpacked: number;
  readonly codec: number;
  /** Rows of the table and values of its page. */
  readonly rows: number;
  /** 0: plain. */
  readonly encoding?: number;
  readonly checksum?: number;
}

/** Returns a file with the column `text`, whose page begins with definition levels. */
export function parquetOf({ page, unpacked, codec, rows, encoding = 0, checksum }: OnePage): Buffer {
  const header = struct({
    1: 0,
    2: unpacked,
    3: page.length,
    ...(checksum === undefined ? {} : { 4: checksum }),
    5: { 1: rows, 2: encoding, 3: 3, 4: 3 },
  });
  const bytes = header.length + page.length;
  const meta = { 1: 6, 3: [], 4: codec, 5: rows, 6: unpacked, 7: bytes, 9: 4 };
  const footer = struct({
    1: 1,
    2: [
      { 4: 'schema', 5: 1 },
      { 1: 6, 3: 1, 4: 'text', 6: 0 },
    ],
    3: rows,
    4: [{ 1: [{ 2: 4, 3: meta }], 2: bytes, 3: rows }],
  });
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
