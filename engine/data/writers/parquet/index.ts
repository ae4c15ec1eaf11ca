/** Writes Parquet: rows in columns whose types are derived from all rows, in row groups compressed with Zstandard. */
import type { AtomicFile } from '../../../formats/files.ts';
import { Problem } from '../../../problem.ts';
import type { RowWriter } from '../writer.ts';
import { type KeptType, storedOf } from '../../readers/parquet/kept-types.ts';
import { ColumnWriter, type ColumnPlan, physicalType } from './column.ts';
import { columnsWith, type Shape } from './shape.ts';
import { bool, i32, i64, i8, list, struct, text, type ThriftField, type ThriftFields } from './thrift.ts';

const mark = Buffer.from('PAR1');
/** Limits the bytes of a row group, which is closed after the row with which it reaches them; this much is held in memory. */
const groupBytes = 32 << 20;
const mostColumns = 1000;
const createdBy = 'lowrank';

/**
 * Holds the repetition of a column in its parent, and the marks of its meaning: converted types for older readers, logical
 * types for newer ones.
 */
const [optional, repeated] = [1, 2];
const nothing = struct({});
const meanings: Readonly<Record<'text' | 'list' | 'json', ThriftFields>> = {
  text: { 6: i32(0), 10: struct({ 1: nothing }) },
  list: { 6: i32(3), 10: struct({ 3: nothing }) },
  json: { 6: i32(19), 10: struct({ 12: nothing }) },
};

export class ParquetWriter implements RowWriter {
  readonly #file: AtomicFile;
  #columns: ReadonlyMap<string, Shape> = new Map();
  #plan: Plan | null = null;
  #open: ColumnWriter[] = [];
  #rowsInGroup = 0;
  #rows = 0;
  readonly #groups: ThriftField[] = [];

  readonly #types: Map<string, KeptType>;

  /** `types` says which columns had types that rows do not have. They have them again if all their values allow it. */
  constructor(file: AtomicFile, types: ReadonlyMap<string, KeptType> = new Map()) {
    this.#file = file;
    this.#types = new Map(types);
  }

  /** Returns the columns that have the types they had; it is known once all rows were shown. */
  get kept(): ReadonlySet<string> {
    return new Set(this.#types.keys());
  }

  /** Finds the columns. Throws a `Problem` where rows have more of them than a table may have. */
  look(row: Readonly<Record<string, unknown>>): void {
    for (const [name, type] of this.#types) {
      const value = row[name] ?? null;
      if (value !== null && storedOf(value, type) === null) this.#types.delete(name);
    }
    this.#columns = columnsWith(this.#columns, row);
    if (this.#columns.size > mostColumns)
      throw new Problem(
        'request-invalid',
        `The rows have more than ${mostColumns} different fields, and a table in Parquet has a column for each.`,
        'Write them as JSONL.',
      );
  }

  write(row: Readonly<Record<string, unknown>>): void {
    const { root } = (this.#plan ??= this.#begin());
    if (this.#open.length === 0) this.#open = this.#plan.leaves.map((leaf) => new ColumnWriter(leaf));
    for (const child of root) shred(child, row[child.name], { columns: this.#open, repetition: 0, definition: 0 });
    this.#rowsInGroup++;
    let bytes = 0;
    for (const column of this.#open) {
      column.endRow();
      bytes += column.bytes;
    }
    if (bytes >= groupBytes) this.#endGroup();
  }

  end(): void {
    const { elements } = (this.#plan ??= this.#begin());
    if (this.#rowsInGroup > 0) this.#endGroup();
    const footer = struct({
      1: i32(2),
      2: list(elements),
      3: i64(this.#rows),
      4: list(this.#groups),
      6: text(createdBy),
    }).bytes;
    const length = Buffer.alloc(4);
    length.writeUInt32LE(footer.length);
    for (const bytes of [footer, length, mark]) this.#file.write(bytes);
  }

  #begin(): Plan {
    if (this.#columns.size === 0)
      throw new Problem('data-empty', 'There is no field in any row, and Parquet has columns.', 'Write rows that have some.');
    this.#file.write(mark);
    const shapeOf = (name: string, found: Shape): Shape => {
      const type = this.#types.get(name);
      return type === undefined ? found : { kind: 'kept', type };
    };
    return planOf(new Map([...this.#columns].map(([name, found]) => [name, shapeOf(name, found)])));
  }

  #endGroup(): void {
    const start = this.#file.position;
    const chunks = this.#open.map((column) => column.end(this.#file.position, (bytes) => this.#file.write(bytes)));
    const sum = (of: 'packed' | 'unpacked') => chunks.reduce((total, chunk) => total + chunk[of], 0);
    const columns = list(chunks.map(({ chunk }) => chunk));
    this.#groups.push(
      struct({ 1: columns, 2: i64(sum('unpacked')), 3: i64(this.#rowsInGroup), 5: i64(start), 6: i64(sum('packed')) }),
    );
    this.#rows += this.#rowsInGroup;
    this.#rowsInGroup = 0;
    this.#open = [];
  }
}

/** Describes a field of the rows with the columns in it: from `first` up to, not including, `last`. */
interface Field {
  readonly name: string;
  readonly kind: Shape['kind'];
  readonly first: number;
  readonly last: number;
  /** Gives the repetition level of the entries of a list. */
  readonly repetition: number;
  /** Holds the fields of an object, or the entry of a list. */
  readonly children: readonly Field[];
}

interface Plan {
  readonly root: readonly Field[];
  readonly leaves: readonly ColumnPlan[];
  /** Holds the schema as it is in the footer. */
  readonly elements: readonly ThriftField[];
}

/** Gives the place of a field: the names of the objects around it, and the levels there. */
interface Within {
  readonly path: readonly string[];
  readonly definition: number;
  readonly repetition: number;
}

function planOf(columns: ReadonlyMap<string, Shape>): Plan {
  const leaves: ColumnPlan[] = [];
  const elements = [struct({ 4: text('schema'), 5: i32(columns.size) })];
  const fieldOf = (name: string, shape: Shape, within: Within): Field => {
    const path = [...within.path, name];
    const inside = { path, definition: within.definition + 1, repetition: within.repetition };
    const first = leaves.length;
    const known = (children: readonly Field[]): Field => ({
      ...{ name, kind: shape.kind, first, last: leaves.length, repetition: within.repetition + 1, children },
    });
    const named = { 3: i32(optional), 4: text(name) };
    if (shape.kind === 'object') {
      elements.push(struct({ ...named, 5: i32(shape.fields.size) }));
      return known([...shape.fields].map(([inner, own]) => fieldOf(inner, own, inside)));
    }
    if (shape.kind === 'list') {
      elements.push(struct({ ...named, 5: i32(1), ...meanings.list }));
      elements.push(struct({ 3: i32(repeated), 4: text('list'), 5: i32(1) }));
      const entries = { path: [...path, 'list'], definition: inside.definition + 1, repetition: within.repetition + 1 };
      return known([fieldOf('element', shape.entries, entries)]);
    }
    const { kind } = shape;
    const type = shape.kind === 'kept' ? { type: shape.type } : {};
    elements.push(struct({ 1: i32(physicalType({ kind, ...type })), ...named, ...meaningOf(shape) }));
    leaves.push({ path, kind, ...type, maxDefinition: inside.definition, maxRepetition: within.repetition });
    return known([]);
  };
  const root = [...columns].map(([name, shape]) => fieldOf(name, shape, { path: [], definition: 0, repetition: 0 }));
  return { root, leaves, elements };
}

/** Returns what the schema says of the meaning of a column. */
function meaningOf(shape: Shape): ThriftFields {
  if (shape.kind === 'json') return meanings.json;
  if (shape.kind === 'text' || shape.kind === 'empty') return meanings.text;
  if (shape.kind !== 'kept') return {};
  const { meaning } = shape.type;
  switch (meaning.kind) {
    case 'date':
      return { 6: i32(6), 10: struct({ 6: nothing }) };
    case 'unsigned':
      return { 6: i32(14), 10: struct({ 10: struct({ 1: i8(64), 2: bool(false) }) }) };
    case 'timestamp': {
      const unit = 1 + [1e3, 1e6, 1e9].indexOf(meaning.perSecond);
      // Older readers know milliseconds and microseconds, and take both for UTC.
      const converted = unit < 3 && meaning.isUtc ? { 6: i32(8 + unit) } : {};
      return { ...converted, 10: struct({ 8: struct({ 1: bool(meaning.isUtc), 2: struct({ [unit]: nothing }) }) }) };
    }
    default:
      return {};
  }
}

interface Levels {
  readonly columns: readonly ColumnWriter[];
  readonly repetition: number;
  readonly definition: number;
}

/** Adds a value to the columns of its field (Dremel). */
function shred(field: Field, value: unknown, levels: Levels): void {
  const { columns, repetition, definition } = levels;
  const inside = value === null || value === undefined ? definition : definition + 1;
  const isEmpty = inside === definition || (field.kind === 'list' && (value as readonly unknown[]).length === 0);
  if (isEmpty) for (let i = field.first; i < field.last; i++) columns[i]!.put(null, repetition, inside);
  else if (field.kind === 'list') {
    const [entry] = field.children;
    for (const [i, inner] of (value as readonly unknown[]).entries())
      shred(entry!, inner, { columns, repetition: i === 0 ? repetition : field.repetition, definition: inside + 1 });
  } else if (field.kind === 'object')
    for (const child of field.children)
      shred(child, (value as Readonly<Record<string, unknown>>)[child.name], { columns, repetition, definition: inside });
  else columns[field.first]!.put(value, repetition, inside);
}
