/** Converts values of Parquet to those of JSON without loss. Numbers that JavaScript cannot represent become text. */
import { isUtf8 } from 'node:buffer';
import { Binary } from '../../binary.ts';
import { parseKeepingNumbers } from '../../json-numbers.ts';
import { requireSound } from './damage.ts';
import type { RawValue } from './encodings.ts';
import type { Node } from './footer.ts';

const secondsPerDay = 86_400n;
/** Timestamps of twelve bytes count from this Julian day. */
const julianEpoch = 2_440_588n;
const nanosecondsPerDay = 86_400_000_000_000n;

/** Returns a value converted by the logical type of its column. */
export function toValue(raw: RawValue, { meaning, type, name }: Pick<Node, 'meaning' | 'type' | 'name'>): unknown {
  if (typeof raw === 'boolean') return raw;
  if (typeof raw !== 'object') {
    switch (meaning.kind) {
      case 'date':
        return dateOf(BigInt(raw));
      case 'timestamp':
        return `${timestamp(BigInt(raw), BigInt(meaning.perSecond))}${meaning.isUtc ? 'Z' : ''}`;
      case 'time':
        return timeOf(BigInt(raw), BigInt(meaning.perSecond));
      case 'decimal':
        return decimal(BigInt(raw), meaning.scale);
      case 'unsigned':
        return typeof raw === 'bigint' ? whole(BigInt.asUintN(64, raw)) : raw >>> 0;
      default:
        return typeof raw === 'bigint' ? whole(raw) : raw;
    }
  }
  if (type === 'INT96')
    return timestamp((BigInt(raw.readUInt32LE(8)) - julianEpoch) * nanosecondsPerDay + raw.readBigInt64LE(0), 1_000_000_000n);
  switch (meaning.kind) {
    case 'decimal':
      return decimal(raw.length === 0 ? 0n : BigInt.asIntN(8 * raw.length, BigInt(`0x${raw.toString('hex')}`)), meaning.scale);
    case 'uuid':
      return raw.toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-');
    case 'half':
      return raw.length === 2 ? half(raw.readUInt16LE()) : new Binary(raw);
    case 'text':
    case 'json':
      requireSound(isUtf8(raw), `a text of the column '${name}' is not UTF-8`);
      return meaning.kind === 'json' ? parsed(raw.toString()) : raw.toString();
    default:
      // Many programs do not declare that bytes are text.
      return type === 'BYTE_ARRAY' && isUtf8(raw) ? raw.toString() : new Binary(raw);
  }
}

function parsed(text: string): unknown {
  try {
    return parseKeepingNumbers(text);
  } catch {
    return text;
  }
}

function whole(value: bigint): number | string {
  return Number.isSafeInteger(Number(value)) ? Number(value) : String(value);
}

function decimal(value: bigint, scale: number): number | string {
  if (scale <= 0) return whole(value * 10n ** BigInt(Math.min(-scale, 1000)));
  requireSound(scale <= 1000, 'a number has too many digits');
  const digits = String(value < 0n ? -value : value).padStart(scale + 1, '0');
  const text = `${value < 0n ? '-' : ''}${digits.slice(0, -scale)}.${digits.slice(-scale)}`;
  const short = text.replace(/\.?0+$/, '');
  return String(Number(text)) === short ? Number(text) : text;
}

function floorDivide(value: bigint, by: bigint): bigint {
  return value / by - (value % by < 0n ? 1n : 0n);
}

function dateOf(days: bigint): string {
  const date = new Date(Number(days) * 86_400_000);
  return Number.isNaN(date.getTime()) ? `${days} days after 1970-01-01` : date.toISOString().replace(/T.*$/, '');
}

function timestamp(value: bigint, perSecond: bigint): string {
  const seconds = floorDivide(value, perSecond);
  const days = floorDivide(seconds, secondsPerDay);
  return `${dateOf(days)}T${timeOf(value - days * secondsPerDay * perSecond, perSecond)}`;
}

function timeOf(value: bigint, perSecond: bigint): string {
  const seconds = floorDivide(value, perSecond);
  const two = (number: bigint) => String(number).padStart(2, '0');
  const fraction = String(value - seconds * perSecond)
    .padStart(String(perSecond).length - 1, '0')
    .replace(/0+$/, '');
  return `${two(seconds / 3600n)}:${two((seconds / 60n) % 60n)}:${two(seconds % 60n)}${fraction === '' ? '' : `.${fraction}`}`;
}

function half(bits: number): number {
  const sign = bits >> 15 === 1 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const fraction = (bits & 1023) / 1024;
  if (exponent === 31) return fraction === 0 ? sign * Infinity : NaN;
  return exponent === 0 ? sign * 2 ** -14 * fraction : sign * 2 ** (exponent - 15) * (1 + fraction);
}
