/**
 * Formats dates as Python's `datetime.strftime` does on Linux, in English: every code of Python and of glibc, with glibc's
 * flags and widths. Text that is not a code stays as it is, as in Python.
 */

const days = ['Sunday', 'Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday'] as const;
const months = [
  ...['January', 'February', 'March', 'April', 'May', 'June', 'July', 'August', 'September', 'October', 'November', 'December'],
];
const dayMs = 86_400_000;

/** Holds a reading of a local clock. */
interface Moment {
  readonly year: number;
  /** Counts from 0. */
  readonly month: number;
  readonly date: number;
  /** Counts from 0, which is Sunday. */
  readonly weekday: number;
  /** Counts from 0. */
  readonly dayOfYear: number;
  readonly hour: number;
  readonly minute: number;
  readonly second: number;
  readonly millisecond: number;
  readonly iso: { readonly year: number; readonly week: number };
}

/** A number is padded to its width, with zeros by default; a text is written as it is, or is another format. */
type Field =
  | { readonly number: number; readonly digits: number; readonly pad?: ' ' }
  | { readonly text: string; readonly swapped?: 'upper' | 'lower'; readonly always?: 'lower' }
  | { readonly format: string };
type Code = (moment: Moment) => Field;

const number = (of: (moment: Moment) => number, digits: number, pad?: ' '): Code => {
  return (moment) => ({ number: of(moment), digits, ...(pad === undefined ? {} : { pad }) });
};
const name = (of: (moment: Moment) => string): Code => {
  return (moment) => ({ text: of(moment), swapped: 'upper' });
};
const format = (text: string): Code => {
  return () => ({ format: text });
};
const twelve = ({ hour }: Moment): number => hour % 12 || 12;
const half = ({ hour }: Moment): string => (hour < 12 ? 'AM' : 'PM');

const codes: Readonly<Record<string, Code>> = {
  a: name(({ weekday }) => days[weekday]!.slice(0, 3)),
  A: name(({ weekday }) => days[weekday]!),
  b: name(({ month }) => months[month]!.slice(0, 3)),
  B: name(({ month }) => months[month]!),
  h: name(({ month }) => months[month]!.slice(0, 3)),
  c: format('%a %b %e %H:%M:%S %Y'),
  C: number(({ year }) => Math.floor(year / 100), 2),
  d: number(({ date }) => date, 2),
  D: format('%m/%d/%y'),
  e: number(({ date }) => date, 2, ' '),
  F: format('%Y-%m-%d'),
  g: number(({ iso }) => iso.year % 100, 2),
  G: number(({ iso }) => iso.year, 4),
  H: number(({ hour }) => hour, 2),
  I: number(twelve, 2),
  j: number(({ dayOfYear }) => dayOfYear + 1, 3),
  k: number(({ hour }) => hour, 2, ' '),
  l: number(twelve, 2, ' '),
  m: number(({ month }) => month + 1, 2),
  M: number(({ minute }) => minute, 2),
  n: () => ({ text: '\n' }),
  p: (moment) => ({ text: half(moment), swapped: 'lower' }),
  P: (moment) => ({ text: half(moment), always: 'lower' }),
  r: format('%I:%M:%S %p'),
  R: format('%H:%M'),
  s: number(secondsOf, 1, ' '),
  S: number(({ second }) => second, 2),
  t: () => ({ text: '\t' }),
  T: format('%H:%M:%S'),
  u: number(({ weekday }) => weekday || 7, 1),
  U: number(({ dayOfYear, weekday }) => Math.floor((dayOfYear - weekday + 7) / 7), 2),
  V: number(({ iso }) => iso.week, 2),
  w: number(({ weekday }) => weekday, 1),
  W: number(({ dayOfYear, weekday }) => Math.floor((dayOfYear - ((weekday + 6) % 7) + 7) / 7), 2),
  x: format('%m/%d/%y'),
  X: format('%H:%M:%S'),
  y: number(({ year }) => year % 100, 2),
  Y: number(({ year }) => year, 4),
  '%': () => ({ text: '%' }),
};

/** Lists the codes that E and O may modify to ask for a language's own form. In English the result is the same. */
const alternatives: Readonly<Record<string, string>> = { E: 'cCxXyY%RTnprstu', O: 'bBhdegGHIklmMSuUVwWyC%RTjnprst' };

const pattern = /%([-_0^#+]*)(\d*)([EO]?)(.)/gsu;

/**
 * Formats a moment, given as the UTC milliseconds of what a local clock shows. The clock has no time zone, so `%z` and `%Z` are
 * empty and `%s` counts as in UTC.
 */
export function strftime(text: string, localTime: number): string {
  return written(text, momentOf(localTime));
}

function written(text: string, moment: Moment): string {
  return text.replace(pattern, (whole, flags: string, width: string, alternative: string, letter: string) => {
    const plain = flags === '' && width === '' && alternative === '';
    // Python writes these codes itself, and only without flags and widths.
    if (plain && letter === 'f') return String(moment.millisecond * 1000).padStart(6, '0');
    if (letter === 'z' || letter === 'Z') return '';
    const code = Object.hasOwn(codes, letter) ? codes[letter]! : null;
    const hasForm = alternative === '' || alternatives[alternative]!.includes(letter);
    if (code === null || !hasForm) return whole;
    return fieldText(code(moment), flags, Number(width), moment);
  });
}

function fieldText(field: Field, flags: string, width: number, moment: Moment): string {
  // The last of several padding flags wins.
  const pad = [...flags].findLast((flag) => '-_0+'.includes(flag));
  if ('number' in field) {
    const filler = pad === '_' || pad === '-' ? ' ' : pad === undefined ? (field.pad ?? '0') : '0';
    const digits = pad === '-' ? 1 : field.digits;
    return String(field.number).padStart(Math.max(width, digits), filler);
  }
  let text = 'format' in field ? written(field.format, moment) : field.text;
  if (flags.includes('^')) text = text.toUpperCase();
  const swapped = flags.includes('#') && 'swapped' in field ? field.swapped : undefined;
  const cased = ('always' in field ? field.always : undefined) ?? swapped;
  if (cased !== undefined) text = cased === 'upper' ? text.toUpperCase() : text.toLowerCase();
  return text.padStart(width, pad === '0' || pad === '+' ? '0' : ' ');
}

function momentOf(localTime: number): Moment {
  const date = new Date(localTime);
  const year = date.getUTCFullYear();
  const today = Date.UTC(year, date.getUTCMonth(), date.getUTCDate());
  const weekday = date.getUTCDay();
  // A week belongs to the year of its Thursday.
  const thursday = today + (4 - (weekday || 7)) * dayMs;
  const isoYear = new Date(thursday).getUTCFullYear();
  return {
    year,
    month: date.getUTCMonth(),
    date: date.getUTCDate(),
    weekday,
    dayOfYear: (today - Date.UTC(year, 0, 1)) / dayMs,
    hour: date.getUTCHours(),
    minute: date.getUTCMinutes(),
    second: date.getUTCSeconds(),
    millisecond: date.getUTCMilliseconds(),
    iso: { year: isoYear, week: 1 + Math.floor((thursday - Date.UTC(isoYear, 0, 1)) / (7 * dayMs)) },
  };
}

function secondsOf({ year, month, date, hour, minute, second }: Moment): number {
  return Date.UTC(year, month, date, hour, minute, second) / 1000;
}
