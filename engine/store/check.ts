/** Recognizes damage to a database, by SQLite's own checks and by those of its errors that mean nothing else. */
import type { Database } from 'better-sqlite3';

/** Is thrown when a database is not as it was written; the message says what was found. */
export class Damage extends Error {}

/**
 * Runs SQLite's full check, and returns what it found; null when the database is sound. It reads every page, and compares each
 * index with its table.
 */
export function checkWhole(db: Database): string | null {
  return findings(() => db.pragma('integrity_check(3)'));
}

/**
 * Runs SQLite's check without the indexes, which is about a third faster, and returns what it found; null when it found
 * nothing.
 */
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

/** Returns whether an error of SQLite says that the file itself is damaged. */
export function isDamage(error: unknown): boolean {
  if (error instanceof Damage) return true;
  const code = (error as { readonly code?: unknown } | null)?.code;
  return typeof code === 'string' && (code.startsWith('SQLITE_CORRUPT') || code === 'SQLITE_NOTADB');
}
