/** Reads the footer of a Parquet file: its columns, and where the values of each are stored. */
import { Damage, requireSound, Unread } from './damage.ts';
import { readStruct, type ThriftStruct, type ThriftValue } from './thrift.ts';

/** Lists the physical types of values by their number in the format. */
export const physicalTypes = [
  ...(['BOOLEAN', 'INT32', 'INT64', 'INT96', 'FLOAT', 'DOUBLE'] as const),
  ...(['BYTE_ARRAY', 'FIXED_LEN_BYTE_ARRAY'] as const),
] as const;
export type PhysicalType = (typeof physicalTypes)[number];

/** Says what the values of a column mean, beyond their physical type. */
export type Meaning =
  | { readonly kind: 'plain' | 'text' | 'json' | 'list' | 'map' | 'date' | 'unsigned' | 'uuid' | 'half' }
  | { readonly kind: 'decimal'; readonly scale: number }
  | { readonly kind: 'time'; readonly perSecond: number }
  /** `isUtc` says that the times are of one zone; those without are of a clock somewhere. */
  | { readonly kind: 'timestamp'; readonly perSecond: number; readonly isUtc: boolean };

/** Describes a column, or a group of columns. */
export interface Node {
  readonly name: string;
  readonly repetition: 'required' | 'optional' | 'repeated';
  readonly meaning: Meaning;
  /** Gives the definition level at which the node is present; `maxRepetition` is its repetition level. */
  readonly maxDefinition: number;
  readonly maxRepetition: number;
  readonly children: readonly Node[];
  /** Numbers the first column in it, in the order of the file; `last` is one more than that of the last. */
  readonly first: number;
  readonly last: number;
  /** Gives the type of a column. It is null for a group. */
  readonly type: PhysicalType | null;
  readonly typeLength: number;
}

export interface ColumnChunk {
  readonly codec: number;
  /** Counts values, including nulls and entries that stand for an empty list. */
  readonly values: number;
  readonly start: number;
  readonly bytes: number;
}

export interface RowGroup {
  readonly rows: number;
  /** Holds one chunk for each column. */
  readonly chunks: readonly ColumnChunk[];
}

export interface Footer {
  readonly root: Node;
  readonly leaves: readonly Node[];
  readonly groups: readonly RowGroup[];
  readonly rows: number;
}

/** A group with more rows than this for each of its bytes is refused as a decompression bomb. */
const rowsPerByte = 1000;
const unquestionedRows = 1_000_000;
const mostColumns = 10_000;
const deepest = 64;

/** Reads the footer, which is followed by its length and the magic number at the end of a file of `size` bytes. */
export function readFooter(bytes: Buffer, size: number): Footer {
  const file = readStruct(bytes).value;
  const elements = structs(file[2], 'schema');
  requireSound(elements.length > 1, 'it has no columns');
  const leaves: Node[] = [];
  const root = treeOf(elements, leaves);
  requireSound(leaves.length <= mostColumns, `it has ${leaves.length} columns`);
  const groups = structs(file[4], 'row groups').map((group, i) => groupOf(group, i, leaves, size));
  return { root, leaves, groups, rows: groups.reduce((sum, { rows }) => sum + rows, 0) };
}

function treeOf(elements: readonly ThriftStruct[], leaves: Node[]): Node {
  let next = 0;
  const read = (depth: number, definition: number, repetition: number): Node => {
    requireSound(next < elements.length && depth < deepest, 'its schema is cut off');
    const element = elements[next++]!;
    const kind =
      depth === 0 ? 'required' : (['required', 'optional', 'repeated'] as const)[numberOf(element[3] ?? 0, 'repetition')];
    requireSound(kind !== undefined, 'its schema has an unknown repetition');
    const maxDefinition = definition + (kind === 'required' ? 0 : 1);
    const maxRepetition = repetition + (kind === 'repeated' ? 1 : 0);
    const count = element[5] === undefined ? 0 : numberOf(element[5], 'number of columns');
    requireSound(count <= elements.length, 'its schema is cut off');
    const first = leaves.length;
    const own = {
      ...{ name: textOf(element[4]), repetition: kind, meaning: meaningOf(element), maxDefinition, maxRepetition, first },
      typeLength: element[2] === undefined ? 0 : numberOf(element[2], 'length'),
    };
    if (count === 0) {
      const type = physicalTypes[numberOf(element[1] ?? -1, 'type', -1)];
      requireSound(type !== undefined, `the column '${own.name}' has an unknown type`);
      const leaf: Node = { ...own, children: [], last: first + 1, type };
      leaves.push(leaf);
      return leaf;
    }
    const children = Array.from({ length: count }, () => read(depth + 1, maxDefinition, maxRepetition));
    const names = new Set<string>();
    for (const { name } of children) {
      if (names.has(name)) throw new Unread(`two columns are called '${name}'`, 'Give each column a name of its own.');
      names.add(name);
    }
    return { ...own, children, last: leaves.length, type: null };
  };
  return read(0, 0, 0);
}

function groupOf(group: ThriftStruct, index: number, leaves: readonly Node[], size: number): RowGroup {
  const where = `row group ${index + 1}`;
  const rows = numberOf(group[3], `rows of ${where}`);
  const columns = structs(group[1], `columns of ${where}`);
  requireSound(columns.length === leaves.length, `${where} has ${columns.length} of ${leaves.length} columns`);
  const chunks = columns.map((column, c): ColumnChunk => {
    const name = `the column '${leaves[c]!.name}' in ${where}`;
    if (column[1] !== undefined) throw new Unread(`${name} lies in another file`, 'Give the files with the rows.');
    if (column[8] !== undefined) throw new Unread(`${name} is encrypted`, 'Write the file again without encryption.');
    const data = structOf(column[3], name);
    const [from, dictionary] = [numberOf(data[9], `place of ${name}`), numberOf(data[11] ?? 0, `place of ${name}`)];
    const start = dictionary > 0 && dictionary < from ? dictionary : from;
    const bytes = numberOf(data[7], `size of ${name}`);
    requireSound(rows === 0 || (start >= 4 && start + bytes <= size), `${name} does not lie in the file, which may be cut off`);
    return { codec: numberOf(data[4], `packing of ${name}`), values: numberOf(data[5], `values of ${name}`), start, bytes };
  });
  const packed = chunks.reduce((sum, { bytes }) => sum + bytes, 0);
  requireSound(
    rows <= unquestionedRows + rowsPerByte * packed,
    `${where} has ${packed} bytes and is said to have ${rows} rows`,
  );
  return { rows, chunks };
}

function meaningOf(element: ThriftStruct): Meaning {
  const logical = element[10] === undefined ? {} : structOf(element[10], 'logical type');
  const number = (of: ThriftValue | undefined, field: number): number | undefined => {
    const value = of === undefined ? undefined : structOf(of, 'logical type')[field];
    return typeof value === 'number' ? value : undefined;
  };
  const unit = (of: ThriftValue): number => {
    const units = structOf(of, 'logical type')[2];
    const found = units === undefined ? {} : structOf(units, 'unit');
    return found[3] !== undefined ? 1e9 : found[2] !== undefined ? 1e6 : 1e3;
  };
  if (logical[1] !== undefined || logical[4] !== undefined) return { kind: 'text' };
  if (logical[2] !== undefined) return { kind: 'map' };
  if (logical[3] !== undefined) return { kind: 'list' };
  if (logical[5] !== undefined) return { kind: 'decimal', scale: number(logical[5], 1) ?? 0 };
  if (logical[6] !== undefined) return { kind: 'date' };
  if (logical[7] !== undefined) return { kind: 'time', perSecond: unit(logical[7]) };
  if (logical[8] !== undefined)
    return { kind: 'timestamp', perSecond: unit(logical[8]), isUtc: structOf(logical[8], 'logical type')[1] === true };
  if (logical[10] !== undefined) return { kind: structOf(logical[10], 'logical type')[2] === false ? 'unsigned' : 'plain' };
  if (logical[12] !== undefined) return { kind: 'json' };
  if (logical[14] !== undefined) return { kind: 'uuid' };
  if (logical[15] !== undefined) return { kind: 'half' };
  switch (element[6]) {
    case 0:
    case 4:
      return { kind: 'text' };
    case 1:
    case 2:
      return { kind: 'map' };
    case 3:
      return { kind: 'list' };
    case 5:
      return { kind: 'decimal', scale: typeof element[7] === 'number' ? element[7] : 0 };
    case 6:
      return { kind: 'date' };
    case 7:
      return { kind: 'time', perSecond: 1e3 };
    case 8:
      return { kind: 'time', perSecond: 1e6 };
    case 9:
      return { kind: 'timestamp', perSecond: 1e3, isUtc: true };
    case 10:
      return { kind: 'timestamp', perSecond: 1e6, isUtc: true };
    case 13:
    case 14:
      return { kind: 'unsigned' };
    case 19:
      return { kind: 'json' };
    default:
      return { kind: 'plain' };
  }
}

// ── Values of the structure ─────────────────────────────────────────────────────────────────────────────────────────────

/** Returns a count or a position, which must be at least `least`. */
export function numberOf(value: ThriftValue | undefined, what: string, least = 0): number {
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= least) return value;
  throw new Damage(`the ${what} is missing or damaged`);
}

export function structOf(value: ThriftValue | undefined, what: string): ThriftStruct {
  if (typeof value === 'object' && !Array.isArray(value) && !Buffer.isBuffer(value)) return value as ThriftStruct;
  throw new Damage(`the description of ${what} is missing or damaged`);
}

function structs(value: ThriftValue | undefined, what: string): ThriftStruct[] {
  if (!Array.isArray(value)) throw new Damage(`the description of ${what} is missing or damaged`);
  return value.map((entry: ThriftValue) => structOf(entry, what));
}

function textOf(value: ThriftValue | undefined): string {
  return Buffer.isBuffer(value) ? value.toString('utf8') : '';
}
