/** Tells which columns of Parquet lose their type where rows are written again: rows have what JSON has, texts, numbers and objects. */
import { open } from 'node:fs/promises';
import type { Node } from './footer.ts';
import { openFooter, readerOf } from './index.ts';

/** A column whose values are written with another type. */
export interface WithoutType {
  readonly column: string;
  /** Says what becomes of its values: `timestamps are written as text`. */
  readonly how: string;
  /** Is true where this concerns only numbers too large for JavaScript. */
  readonly onlyLarge: boolean;
}

type Written = 'jsonl' | 'parquet';

/** Returns the columns of a Parquet file whose values have another type when they are written. */
export async function columnsWithoutType(path: string, as: Written): Promise<readonly WithoutType[]> {
  const file = await open(path);
  try {
    const { root } = await openFooter(readerOf(file), (await file.stat()).size);
    return root.children.flatMap((column) => {
      const found = new Map(
        nodesIn(column)
          .flatMap((node) => becomes(node, as) ?? [])
          .map((one) => [one.how, one]),
      );
      return [...found.values()].map((one) => ({ column: column.name, ...one }));
    });
  } finally {
    await file.close();
  }
}

/** Returns whether a value of a row has a whole number that is text because JavaScript has no such number. */
export function hasLarge(value: unknown): boolean {
  if (typeof value === 'string') return /^-?\d{16,20}$/.test(value);
  return typeof value === 'object' && value !== null && Object.values(value).some(hasLarge);
}

function nodesIn(node: Node): readonly Node[] {
  return [node, ...node.children.flatMap(nodesIn)];
}

function becomes({ meaning, type }: Node, as: Written): Omit<WithoutType, 'column'> | null {
  const always = (what: string) => ({ how: what, onlyLarge: false });
  if (type === 'INT96') return always('timestamps are written as text');
  switch (meaning.kind) {
    case 'timestamp':
      return always(`timestamps${meaning.isUtc ? ', which are of UTC,' : ''} are written as text`);
    case 'date':
      return always('dates are written as text');
    case 'time':
      return always('times are written as text');
    case 'decimal':
      return always(
        as === 'parquet'
          ? 'decimals are written as numbers, as text where no number has their digits, and as JSON where a column has both'
          : 'decimals are written as numbers, or as text where no number has their digits',
      );
    case 'uuid':
      return always('UUIDs are written as text');
    case 'map':
      return always(
        as === 'parquet' ? 'maps are written as objects, or as JSON where their keys differ' : 'maps are written as objects',
      );
    default:
      if (type === 'INT64') return { how: 'whole numbers beyond 2^53 are written as text', onlyLarge: true };
      if (as === 'parquet' && (type === 'FLOAT' || meaning.kind === 'half'))
        return always('floats are written as doubles, of the same value');
      if (as === 'jsonl' && (type === 'BYTE_ARRAY' || type === 'FIXED_LEN_BYTE_ARRAY') && meaning.kind === 'plain')
        return always('bytes that are no text are written as base64');
      return null;
  }
}
