/** Formats numbers, sizes and times as people read them: at most four significant digits, and a unit after a no-break space. */

const nbsp = '\u00a0';

/** Writes a whole number in full with separators: `1,234`. */
export function count(value: number): string {
  return value.toLocaleString('en-US', { maximumFractionDigits: 0 });
}

/** Writes a number with at most `digits` significant digits: `0.3712`, `2e-4`, `12.35`. */
export function figure(value: number, digits = 4): string {
  if (!Number.isFinite(value)) return Number.isNaN(value) ? 'not a number' : value > 0 ? '∞' : '−∞';
  if (value === 0) return '0';
  const size = Math.abs(value);
  if (size < 1e-3 || size >= 1e9) {
    const [mantissa = '', exponent = ''] = value.toExponential(digits - 1).split('e');
    return `${Number(mantissa)}e${exponent.replace('+', '')}`;
  }
  if (size >= 10 ** (digits - 1)) return count(value);
  return String(Number(value.toPrecision(digits)));
}

/** Writes a loss in nats with three decimals, so that a column of them lines up; `–` for null. */
export function loss(value: number | null): string {
  return value === null ? '–' : Number.isFinite(value) ? value.toFixed(3) : figure(value);
}

/** Writes a large count in short: `18.46 M`, `1.544 B`; below 10,000 in full. */
export function large(value: number): string {
  if (value < 10_000) return count(value);
  const [divisor, suffix] = value >= 999.95e6 ? [1e9, 'B'] : value >= 999_950 ? [1e6, 'M'] : [1e3, 'k'];
  return `${figure(value / divisor)}${nbsp}${suffix}`;
}

/** Writes a size in bytes in steps of 1000: `7.12 GB`, `98 MB`, `512 B`. */
export function bytes(value: number): string {
  const [number, unit] = bytesParts(value);
  return `${number}${nbsp}${unit}`;
}

/** Returns the number and the unit of a size separately, for places that show the unit less prominently. */
export function bytesParts(value: number): [number: string, unit: string] {
  if (value >= 999.5e6) return [figureOf3(value / 1e9), 'GB'];
  if (value >= 999.5e3) return [figureOf3(value / 1e6), 'MB'];
  if (value >= 1000) return [figureOf3(value / 1e3), 'kB'];
  return [count(value), 'B'];
}

function figureOf3(value: number): string {
  return value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2);
}

/** Writes a share of 1 in per cent: `97.9 %`. */
export function percent(share: number, digits = 3): string {
  return `${figure(share * 100, digits)}${nbsp}%`;
}

/** Writes a share as a fraction with numerator 1: `1/4000`. */
export function fraction(share: number): string {
  if (share <= 0) return '0';
  const denominator = 1 / share;
  return denominator < 1.5 ? '1' : `1/${denominator < 10 ? figure(denominator, 2) : Math.round(denominator)}`;
}

/** Writes a duration in seconds: `0.4 s`, `41 s`, `6 min 28 s`, `3 h 5 min`. */
export function duration(seconds: number): string {
  if (seconds < 10 && seconds !== Math.round(seconds)) return `${seconds.toFixed(1)}${nbsp}s`;
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole}${nbsp}s`;
  const minutes = Math.floor(whole / 60);
  if (minutes < 60) return join(`${minutes}${nbsp}min`, whole % 60, 's');
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return join(`${hours}${nbsp}h`, minutes % 60, 'min');
  return join(`${Math.floor(hours / 24)}${nbsp}d`, hours % 24, 'h');
}

function join(first: string, rest: number, unit: string): string {
  return rest === 0 ? first : `${first}${nbsp}${rest}${nbsp}${unit}`;
}

/** Says how long ago a time in milliseconds was: `just now`, `5 min ago`, `yesterday`, and the date after two weeks. */
export function ago(time: number, now: number = Date.now()): string {
  const seconds = (now - time) / 1000;
  if (seconds < 45) return 'just now';
  if (seconds < 3600) return `${Math.max(1, Math.round(seconds / 60))}${nbsp}min ago`;
  if (seconds < 86_400) return `${Math.round(seconds / 3600)}${nbsp}h ago`;
  if (seconds < 2 * 86_400) return 'yesterday';
  if (seconds < 14 * 86_400) return `${Math.floor(seconds / 86_400)} days ago`;
  return new Date(time).toLocaleDateString('en-GB', { day: 'numeric', month: 'short', year: 'numeric' });
}

/** Writes date and time in full, for the tooltip of a relative time. */
export function exactTime(time: number): string {
  return new Date(time).toLocaleString('en-GB', { dateStyle: 'medium', timeStyle: 'medium' });
}

/** Writes the time of day with seconds: `14:05:09`. */
export function clock(time: number): string {
  return new Date(time).toLocaleTimeString('en-GB');
}

/** Matches letters that are written from right to left, and marks that change the direction of a text. */
const directed =
  /[\u0590-\u08ff\u200e\u200f\u202a-\u202e\u2066-\u2069\ufb1d-\ufdff\ufe70-\ufefc\u{10800}-\u{10fff}\u{1e800}-\u{1efff}]/u;
const isolates = /[\u2066-\u2069]/g;

/**
 * Returns a name that can be put into a sentence without reversing the words around it, whatever direction it is written in.
 * Markup has `<bdi>` for the same purpose.
 */
export function isolated(name: string): string {
  return directed.test(name) ? `\u2068${name.replace(isolates, '')}\u2069` : name;
}

/** Writes a count with its noun: `1 row`, `4,330 rows`. */
export function plural(value: number, one: string, many: string = `${one}s`): string {
  return `${count(value)}${nbsp}${value === 1 ? one : many}`;
}

/** Returns the name of a file or folder: the last part of its path, of whichever system the path is. */
export function fileName(path: string): string {
  return path.split(/[\\/]/).at(-1)!;
}
