/** What is wrong within a Parquet file; whoever reads it says in which file, row group and column. */
export class Damage extends Error {}

/** Throws unless what must hold of the bytes of a file does. */
export function requireSound(condition: unknown, what: string): asserts condition {
  if (!condition) throw new Damage(what);
}

/** A part of a file that is sound and not read here: what it is, and what to do. */
export class Unread extends Error {
  readonly hint: string;

  constructor(what: string, hint: string) {
    super(what);
    this.hint = hint;
  }
}
