/** Reads rows so that a row that cannot be read costs that row alone: a list leaves it out, and a notice names it. */
import { Problem, type ProblemValue } from '../problem.ts';

/** Limits the rows that one notice names; the log names all. */
const rowsNamed = 5;

/** Parses the JSON array in a column. Throws an Error when it holds anything else. */
export function jsonArray<T>(column: string, text: string): T[] {
  const value = parse(column, text);
  if (!Array.isArray(value)) throw new Error(`column '${column}' does not hold a list`);
  return value as T[];
}

/** Parses the JSON object in a column. Throws an Error when it holds anything else. */
export function jsonObject<T>(column: string, text: string): T {
  const value = parse(column, text);
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new Error(`column '${column}' does not hold a record`);
  return value as T;
}

function parse(column: string, text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new Error(`column '${column}' does not hold JSON`, { cause });
  }
}

export class Rows {
  readonly #tell: (problem: ProblemValue) => void;
  /** Holds the rows that are in the log already. */
  readonly #known = new Set<string>();

  constructor(tell: (problem: ProblemValue) => void) {
    this.#tell = tell;
  }

  /** Returns all rows of a table that can be read, in their order. */
  list<Row extends object, T>(table: string, rows: readonly Row[], read: (row: Row) => T): T[] {
    const unread: string[] = [];
    const found = rows.flatMap((row) => {
      try {
        return [read(row)];
      } catch (error) {
        unread.push(this.#describe(table, row, error));
        return [];
      }
    });
    if (unread.length > 0) {
      const more = unread.length > rowsNamed ? `, and ${unread.length - rowsNamed} more` : '';
      const count = unread.length === 1 ? 'A row' : `${unread.length} rows`;
      this.#tell({
        code: 'store-damaged',
        message: `${count} of the table ${table} cannot be read and ${unread.length === 1 ? 'is' : 'are'} not shown: ${unread.slice(0, rowsNamed).join('; ')}${more}.`,
        hint: 'Everything else is available. The folder "backups" in the data folder holds earlier copies of the database.',
      });
    }
    return found;
  }

  /** Returns a row, or null when there is none. A row that cannot be read is a Problem with the code `store-damaged`. */
  one<Row extends object, T>(table: string, row: Row | undefined, read: (row: Row) => T): T | null {
    if (row === undefined) return null;
    try {
      return read(row);
    } catch (error) {
      throw new Problem(
        'store-damaged',
        `A row of the table ${table} cannot be read: ${this.#describe(table, row, error)}.`,
        'Everything else is available. The folder "backups" in the data folder holds earlier copies of the database.',
        { cause: error },
      );
    }
  }

  /** Describes a row and what is wrong with it, and writes that to the log once. */
  #describe(table: string, row: object, error: unknown): string {
    const { id, name, sequence } = row as { readonly id?: string; readonly name?: string; readonly sequence?: number };
    const named = [name, id ?? sequence].filter((part) => part !== undefined).join(' ');
    const text = `${named === '' ? 'the only one' : named} (${(error as Error).message})`;
    if (!this.#known.has(`${table} ${text}`)) {
      this.#known.add(`${table} ${text}`);
      console.error(`${new Date().toISOString()} a row of the table ${table} cannot be read: ${text}`);
    }
    return text;
  }
}
