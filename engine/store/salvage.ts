/**
 * Copies what can be read of a damaged database to a new one, table by table and row by row, and takes the rest from a backup.
 * Rows are asked for by ranges of their integer key: first from both ends up to a row that cannot be read, then within the part
 * between.
 */
import Database from 'better-sqlite3';
import { migrate, versionOf } from './migrate.ts';

/** Counts what became of the rows of one table. */
export interface Saved {
  readonly table: string;
  /** Gives the number of rows read from the damaged database. */
  readonly read: number;
  /** Gives the number of rows that only the backup had. */
  readonly fromBackup: number;
  /** Gives the number of rows that are in neither, or null when nobody can tell how many there were. */
  readonly lost: number | null;
}

/** Limits the ranges of a table that are tried besides the first of each group; each takes microseconds. */
const mostRanges = 20_000;
/** Gives the number of ranges in a row that yield nothing after which the rest is given up. */
const mostFruitless = 500;
/** Gives the largest key that is looked for: steps and sequences count from 1. */
const largestKey = 2 ** 48;
/** Gives the size of the pieces, in keys, into which a range without a known end is divided. */
const pieceOfKeys = 65_536;

/**
 * Lists the tables, those that others refer to first. `within` is the column that groups rows: each group counts its keys by
 * itself.
 */
const tables: readonly { readonly name: string; readonly key: string; readonly within?: string }[] = [
  { name: 'projects', key: 'sequence' },
  { name: 'models', key: 'sequence' },
  { name: 'datasets', key: 'sequence' },
  { name: 'dataset_versions', key: 'rowid' },
  { name: 'runs', key: 'sequence' },
  { name: 'step_metrics', key: 'step', within: 'run_id' },
  { name: 'eval_metrics', key: 'step', within: 'run_id' },
  { name: 'samples', key: 'step', within: 'run_id' },
  { name: 'checkpoints', key: 'step', within: 'run_id' },
  { name: 'log_lines', key: 'sequence' },
  { name: 'adapters', key: 'sequence' },
  { name: 'exports', key: 'sequence' },
  { name: 'evaluations', key: 'sequence' },
  { name: 'sample', key: 'one' },
  { name: 'memory_measures', key: 'sequence' },
];

type Row = Record<string, unknown>;
type Source = Database.Database;

/**
 * Fills a new database at `target` and gives it the newest tables. A source that is null has no rows; the backup is migrated as
 * needed.
 */
export function salvage(damaged: Source | null, backup: Source | null, target: string): Saved[] {
  const into = new Database(target);
  try {
    into.pragma('synchronous = OFF');
    into.pragma('foreign_keys = ON');
    const version = versionToFill(damaged, backup);
    migrate(into, version);
    if (backup !== null) migrate(backup, version);
    const saved = into.transaction(() => tablesOf(into).map((table) => salvageTable(table, damaged, backup, into)))();
    migrate(into);
    // What a lost run contained is unknown.
    const runsLost = saved.some(({ table, lost }) => table === 'runs' && lost !== 0);
    const isOfRuns = (name: string): boolean => tables.some((table) => table.name === name && table.within === 'run_id');
    return saved.map((one) => (runsLost && isOfRuns(one.table) ? { ...one, lost: null } : one));
  } finally {
    into.close();
  }
}

/** Returns the version of the tables to fill: that of the damaged database, whose rows are migrated afterwards. */
function versionToFill(damaged: Source | null, backup: Source | null): number | undefined {
  for (const source of [damaged, backup]) {
    try {
      const version = source === null ? 0 : versionOf(source);
      if (version > 0) return version;
    } catch {
      // The next one may say.
    }
  }
  return undefined;
}

/** Lists all tables of a database. Those that `tables` does not name are read by their row id. */
function tablesOf(db: Source): typeof tables {
  const names = db
    .prepare<[], { name: string }>("SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")
    .all()
    .map(({ name }) => name);
  const known = tables.filter(({ name }) => names.includes(name));
  const others = names.filter((name) => !tables.some((table) => table.name === name));
  return [...known, ...others.map((name) => ({ name, key: 'rowid' }))];
}

function salvageTable(table: (typeof tables)[number], damaged: Source | null, backup: Source | null, into: Source): Saved {
  const { name, within } = table;
  const add = adder(into, name);
  let read = 0;
  let lost: number | null = damaged === null ? null : 0;
  const groups = within === undefined ? [null] : into.prepare<[], { id: string }>('SELECT id FROM runs').all();
  const budget = { ranges: mostRanges };
  const source = damaged !== null && isKnown(damaged, name) ? damaged : null;
  for (const group of groups) {
    const gaps = source === null ? null : readByKey(source, table, group?.id ?? null, budget, (row) => (read += add(row)));
    lost = gaps === null || lost === null ? null : lost + gaps;
  }
  const expected = damaged === null || within !== undefined ? null : countOf(damaged, name);
  if (lost !== 0 && expected !== null) lost = Math.max(0, expected - read);
  if (lost === 0) return { table: name, read, fromBackup: 0, lost };
  let fromBackup = 0;
  if (backup !== null) {
    try {
      for (const row of backup.prepare<[], Row>(`SELECT * FROM ${name}`).iterate()) fromBackup += add(row);
    } catch {
      // The backup is older than this table.
    }
  }
  return { table: name, read, fromBackup, lost: lost === null ? null : Math.max(0, lost - fromBackup) };
}

function isKnown(db: Source, table: string): boolean {
  try {
    db.prepare(`SELECT 1 FROM ${table}`);
    return true;
  } catch {
    return false;
  }
}

/** Returns how many rows a table had, which one of its indexes may still tell, or null when none does. */
function countOf(db: Source, table: string): number | null {
  try {
    return db.prepare<[], { count: number }>(`SELECT count(*) AS count FROM ${table}`).get()!.count;
  } catch {
    return null;
  }
}

/**
 * Passes every row that can be read to `take`, and returns how many keys between these rows could not be read. Returns null
 * when that number has no bound, because an end of the table is unreadable.
 */
function readByKey(
  db: Source,
  { name, key, within }: (typeof tables)[number],
  group: string | null,
  budget: { ranges: number },
  take: (row: Row) => void,
): number | null {
  const where = within === undefined ? '' : `${within} = @group AND`;
  const prepare = (order: string) => {
    const sql = `SELECT ${key} AS salvage_key, * FROM ${name} WHERE ${where} ${key} BETWEEN @from AND @to ORDER BY ${key} ${order}`;
    return db.prepare<[Row], Row & { salvage_key: number }>(sql);
  };
  const queries = { ASC: prepare('ASC'), DESC: prepare('DESC') };
  /** Reads until the end or the first error. Returns the last key that was read, and whether the end was reached. */
  const readOn = (order: 'ASC' | 'DESC', from: number, to: number): { last: number | null; whole: boolean } => {
    let last: number | null = null;
    try {
      for (const { salvage_key, ...row } of queries[order].iterate({ from, to, ...(group === null ? {} : { group }) })) {
        // Damaged pages can lead anywhere.
        const inOrder = last === null || (order === 'ASC' ? salvage_key >= last : salvage_key <= last);
        if (!inOrder || salvage_key < from || salvage_key > to) return { last, whole: false };
        last = salvage_key;
        take(row);
      }
      return { last, whole: true };
    } catch {
      return { last, whole: false };
    }
  };

  const open: { from: number; to: number }[] = [{ from: 0, to: largestKey }];
  let unread = 0;
  let fruitless = 0;
  let lowest = Infinity;
  let highest = -Infinity;
  for (let range = open.shift(); range !== undefined; range = open.shift()) {
    let { from, to } = range;
    if (range.to - range.from === largestKey || (budget.ranges-- > 0 && fruitless < mostFruitless)) {
      const up = readOn('ASC', from, to);
      if (up.last !== null) [lowest, highest] = [Math.min(lowest, up.last), Math.max(highest, up.last)];
      if (up.whole) continue;
      from = (up.last ?? from - 1) + 1;
      const down = from > to ? { last: null } : readOn('DESC', from, to);
      if (down.last !== null) [lowest, highest] = [Math.min(lowest, down.last), Math.max(highest, down.last)];
      to = (down.last ?? to + 1) - 1;
      fruitless = up.last === null && down.last === null ? fruitless + 1 : 0;
      if (from > to) continue;
      if (from < to) {
        const middle = from + Math.min(Math.floor((to - from) / 2), pieceOfKeys);
        open.push({ from, to: middle }, { from: middle + 1, to });
        continue;
      }
    }
    unread += to - from + 1;
  }
  const bounded = unread < highest - lowest;
  return bounded || unread === 0 ? unread : null;
}

/** Returns a function that adds a row unless it exists already or refers to a missing one, and returns how many were added. */
function adder(db: Source, table: string): (row: Row) => number {
  const columns = new Set((db.pragma(`table_info(${table})`) as { name: string }[]).map(({ name }) => name));
  const references = db.pragma(`foreign_key_list(${table})`) as {
    table: string;
    from: string;
    to: string;
    on_delete: string;
  }[];
  const isThere = new Map(
    references.map((reference) => [
      reference,
      db.prepare<[unknown], { 1: 1 }>(`SELECT 1 FROM ${reference.table} WHERE ${reference.to} = ?`),
    ]),
  );
  /** Holds the last id found for each reference; rows with the same one follow each other. */
  const lastThere = new Map<unknown, unknown>();
  const statements = new Map<string, Database.Statement<unknown[]>>();
  return (row) => {
    const names = Object.keys(row).filter((name) => columns.has(name));
    const values: Row = { ...row };
    for (const [reference, query] of isThere) {
      const id = values[reference.from];
      if (id === null || id === lastThere.get(reference)) continue;
      if (query.get(id) !== undefined) {
        lastThere.set(reference, id);
        continue;
      }
      if (reference.on_delete === 'SET NULL') values[reference.from] = null;
      // Everything belongs to a project, so a lost project gets at least a name again.
      else if (reference.table === 'projects')
        db.prepare('INSERT INTO projects (id, name, created_at) VALUES (?, ?, ?)').run(id, 'Recovered project', Date.now());
    }
    const sql = `INSERT OR IGNORE INTO ${table} (${names.join(', ')}) VALUES (${names.map(() => '?').join(', ')})`;
    const statement = statements.get(sql) ?? db.prepare(sql);
    statements.set(sql, statement);
    try {
      return statement.run(...names.map((name) => values[name])).changes;
    } catch {
      // It violates a constraint of the table, so it is not what was written.
      return 0;
    }
  };
}
