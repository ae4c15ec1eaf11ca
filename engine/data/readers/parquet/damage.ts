/** Says what is wrong within a Parquet file. The code that catches it adds the file, row group and column. */
export class Damage extends Error {}

/** Throws `Damage` unless a condition on the bytes of a file holds. */
export function requireSound(condition: unknown, what: string): asserts condition {
  if (!condition) throw new Damage(what);
}

/** Says that a valid part of a file is not supported, what it is, and what to do. */
export class Unread extends Error {
  readonly hint: string;

  constructor(what: string, hint: string) {
    super(what);
    this.hint = hint;
  }
}
