/** What is known of damage to a database: SQLite's own checks, and its errors that mean nothing else. */
import type { Database } from 'better-sqlite3';

/** A database that is not as it was written. The message says what was found. */
export class Damage extends Error {}

/** What SQLite's full check says, or null when all is sound. It reads every page, and each index against its table. */
export function checkWhole(db: Database): string | null {
  return findings(() => db.pragma('integrity_check(3)'));
}

/** Like the full check, without the indexes: about a third faster. */
export function checkQuickly(db: Database): string | null {
  return findings(() => db.pragma('quick_check(3)'));
}

function findings(check: () => unknown): string | null {
  try {
    const said = (check() as Record<string, string>[]).flatMap((row) => Object.values(row));
    return said.join() === 'ok' ? null : said.join('; ').replaceAll('\n', ' ');
  } catch (error) {
    if (isDamage(error)) return (error as Error).message;
    throw error;
  }
}

/** Whether an error of SQLite says that the file itself is damaged. */
export function isDamage(error: unknown): boolean {
  if (error instanceof Damage) return true;
  const code = (error as { readonly code?: unknown } | null)?.code;
  return typeof code === 'string' && (code.startsWith('SQLITE_CORRUPT') || code === 'SQLITE_NOTADB');
}
