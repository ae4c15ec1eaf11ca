/** Defines how many rows a part of a mix has. It is apart from the reading of rows because the window computes the same. */

export interface Amount {
  /**
   * Says how often each row is included: 2 for twice, 0.3 for three of ten rows, 1.5 for each row and half of them again. With 0 the part is only
   * evaluated.
   */
  readonly repeat: number;
  /** Limits the rows of an epoch, repeated ones included. Without it there is no limit. */
  readonly most?: number;
}

/** The most times that a mix may repeat rows. */
export const mostRepeat = 1000;

/** Returns how many of so many rows there are in an epoch: at least one, where there are any and they are trained on. */
export function amountOf(rows: number, { repeat, most = Infinity }: Amount): number {
  return rows === 0 || repeat === 0 ? 0 : Math.max(1, Math.min(Math.round(repeat * rows), most));
}

/** Says an amount in a few signs: `×2`, `×0.5, at most 1000`. */
export function amountText({ repeat, most }: Amount): string {
  if (repeat === 0) return 'only evaluated';
  return `×${repeat}${most === undefined ? '' : `, at most ${most}`}`;
}
