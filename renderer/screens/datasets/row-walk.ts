import type { DataCheck } from '../../../engine/contract.ts';

/** Some rows that a person walks through, and where the walk is. */
export interface RowWalk {
  /** Says what they are: `Longest rows`. */
  readonly title: string;
  readonly rows: readonly number[];
  /** Is an index into `rows`. */
  readonly at: number;
  /** Holds the check that lists them, or null. */
  readonly check: DataCheck | null;
}
