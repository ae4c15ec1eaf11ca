/** Knows the types of Parquet that rows have as text or numbers, so that they can be written with their types again. */
import { open } from 'node:fs/promises';
import { toValue } from './value.ts';
import type { Meaning, Node } from './footer.ts';
import { openFooter, readerOf } from './index.ts';

/** A type of whole numbers that rows have as something else, or may have: times and dates as text, large numbers as text. */
export interface KeptType {
  readonly type: 'INT32' | 'INT64';
  readonly meaning: Meaning;
}

/** Returns the type of each column of a Parquet file that is kept when it is written as Parquet, or null for another type. */
export async function columnTypes(path: string): Promise<ReadonlyMap<string, KeptType | null>> {
  const file = await open(path);
  try {
    const { root } = await openFooter(readerOf(file), (await file.stat()).size);
    return new Map(root.children.map((node) => [node.name, keptType(node)]));
  } finally {
    await file.close();
  }
}

function keptType({ type, meaning, repetition }: Node): KeptType | null {
  if (repetition === 'repeated') return null;
  if (type === 'INT96') return { type: 'INT64', meaning: { kind: 'timestamp', perSecond: 1_000_000_000, isUtc: false } };
  if (type === 'INT32') return meaning.kind === 'date' ? { type, meaning } : null;
  return type === 'INT64' && ['timestamp', 'plain', 'unsigned'].includes(meaning.kind) ? { type, meaning } : null;
}

/** Returns the whole number that is read as `value`, or null where none is. A person may have changed the value. */
export function storedOf(value: unknown, { type, meaning }: KeptType): bigint | null {
  if (typeof value !== 'string' && typeof value !== 'number') return null;
  const stored = wholeOf(String(value), meaning);
  if (stored === null || stored !== BigInt.asIntN(type === 'INT32' ? 32 : 64, stored)) return null;
  const raw = type === 'INT32' ? Number(stored) : stored;
  return toValue(raw, { name: '', type, meaning }) === value ? stored : null;
}

function wholeOf(text: string, meaning: Meaning): bigint | null {
  if (meaning.kind === 'plain' || meaning.kind === 'unsigned') {
    if (!/^-?\d{1,20}$/.test(text)) return null;
    return meaning.kind === 'unsigned' ? BigInt.asIntN(64, BigInt(text)) : BigInt(text);
  }
  const [, date, hours = '0', minutes = '0', seconds = '0', fraction = ''] =
    /^(\d{4}-\d\d-\d\d)(?:T(\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))?Z?)?$/.exec(text) ?? [];
  const days = date === undefined ? Number.NaN : Date.parse(date) / 86_400_000;
  if (Number.isNaN(days)) return null;
  if (meaning.kind !== 'timestamp') return BigInt(days);
  const inDay = BigInt(Number(hours) * 3600 + Number(minutes) * 60 + Number(seconds));
  const perSecond = BigInt(meaning.perSecond);
  const parts = (BigInt(fraction.padEnd(9, '0')) * perSecond) / 1_000_000_000n;
  return (BigInt(days) * 86_400n + inDay) * perSecond + parts;
}
