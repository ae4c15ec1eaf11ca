/** Writes Thrift's compact protocol, in which Parquet stores its footer and the headers of pages. */

/** Holds a value with the number of its type in the protocol. */
export interface ThriftField {
  readonly type: number;
  readonly bytes: Buffer;
}
/** Maps the number of each field of a struct to its value. */
export type ThriftFields = Readonly<Record<number, ThriftField>>;

/** Returns an integer of 32 bits. */
export function i32(value: number): ThriftField {
  return { type: 5, bytes: zigZag(value) };
}

/** Returns an integer of 64 bits. JavaScript represents those up to 2^53. */
export function i64(value: number): ThriftField {
  return { type: 6, bytes: zigZag(value) };
}

/** Returns an integer of 8 bits. */
export function i8(value: number): ThriftField {
  return { type: 3, bytes: Buffer.from([value]) };
}

/** Returns a truth value, which is told by its type alone. */
export function bool(value: boolean): ThriftField {
  return { type: value ? 1 : 2, bytes: Buffer.alloc(0) };
}

export function text(value: string): ThriftField {
  const bytes = Buffer.from(value);
  return { type: 8, bytes: Buffer.concat([varint(bytes.length), bytes]) };
}

/** Returns a list of values of one type, which an empty list states too. */
export function list(values: readonly ThriftField[], type = values[0]?.type ?? 12): ThriftField {
  const header = values.length < 15 ? Buffer.from([values.length * 16 + type]) : Buffer.from([0xf0 + type]);
  const size = values.length < 15 ? [] : [varint(values.length)];
  return { type: 9, bytes: Buffer.concat([header, ...size, ...values.map(({ bytes }) => bytes)]) };
}

export function struct(fields: ThriftFields): ThriftField {
  let last = 0;
  const parts = Object.entries(fields).flatMap(([key, { type, bytes }]) => {
    const delta = Number(key) - last;
    last = Number(key);
    return [Buffer.from([delta * 16 + type]), bytes];
  });
  return { type: 12, bytes: Buffer.concat([...parts, Buffer.from([0])]) };
}

/** Returns an integer of at least 0 in groups of seven bits, lowest first. */
export function varint(value: number): Buffer {
  const bytes: number[] = [];
  let rest = value;
  for (; rest >= 128; rest = Math.floor(rest / 128)) bytes.push((rest % 128) + 128);
  return Buffer.from([...bytes, rest]);
}

function zigZag(value: number): Buffer {
  return varint(value < 0 ? -2 * value - 1 : 2 * value);
}
