/**
 * Keeps numbers of JSON as they are written, where JavaScript would write them differently: `1.0`, `1e3`, `12345678901234567890`. Chat
 * templates print the arguments of tools, and Python tells `1.0` from `1`.
 */
import { Binary } from './binary.ts';

/** Is a number of JSON with its text. It counts and is written as that text says. */
export class JsonNumber extends Number {
  readonly #text: string;

  constructor(text: string) {
    super(text);
    this.#text = text;
  }

  override toString(): string {
    return this.#text;
  }

  /** Makes `JSON.stringify` write the text. */
  toJSON(): unknown {
    return withRawText.rawJSON(this.#text);
  }
}

/** Declares what Node 24 has and the types of es2024 do not. */
interface JsonWithText {
  rawJSON(text: string): unknown;
  parse(text: string, reviver: (key: string, value: unknown, context: { readonly source?: string }) => unknown): unknown;
}
const withRawText = JSON as unknown as JsonWithText;

/** Matches wherever JavaScript may write a number differently, and sometimes elsewhere. */
const unusualNumber = /\d[eE][-+]?\d|\d\.\d*0(?!\d)|0\.0000|\d{16}/;

/** Parses JSON. Numbers that JavaScript would write differently become `JsonNumber`. */
export function parseKeepingNumbers(text: string): unknown {
  if (!unusualNumber.test(text)) return JSON.parse(text);
  return withRawText.parse(text, (_, value, { source }) =>
    typeof value === 'number' && source !== undefined && source !== JSON.stringify(value) ? new JsonNumber(source) : value,
  );
}

/** Fields of rows and messages whose numbers a chat template prints. */
const printed = ['tools', 'functions', 'tool_calls', 'function_call'];
/** Columns of texts, in which a number is a label. It is trained as it is written. */
const labels = ['prompt', 'completion', 'instruction', 'input', 'output'];
const mayPrint = /"(?:tools|functions|tool_calls|function_call)"|"(?:prompt|completion|instruction|input|output)"\s*:\s*-?\d/;

/** Parses the JSON of a row. Numbers in its tools and their calls are as they are written, all others are plain. */
export function parseRow(text: string): unknown {
  return mayPrint.test(text) && unusualNumber.test(text) ? plainOutsideTools(parseKeepingNumbers(text)) : JSON.parse(text);
}

/** Returns a row with plain numbers everywhere but in its tools and their calls, and where a number stands for a text. */
export function plainOutsideTools(value: unknown): unknown {
  if (value instanceof JsonNumber) return Number(value);
  if (Array.isArray(value)) return value.map(plainOutsideTools);
  if (typeof value !== 'object' || value === null || value instanceof Binary) return value;
  return Object.fromEntries(
    Object.entries(value).map(([name, inner]) => [
      name,
      printed.includes(name) || (inner instanceof JsonNumber && labels.includes(name))
        ? (inner as unknown)
        : plainOutsideTools(inner),
    ]),
  );
}

/** Returns a number of JSON as Python prints it. */
export function pythonNumber(number: number | JsonNumber): string {
  const text = number instanceof JsonNumber ? number.toString() : JSON.stringify(number);
  if (!/[.eE]/.test(text)) return text;
  return pythonFloat(Number(text));
}

/** Returns a number as Python prints a float: `1.0`, `1e-05`, `1e+16`. */
export function pythonFloat(value: number): string {
  if (!Number.isFinite(value)) return Number.isNaN(value) ? 'nan' : value > 0 ? 'inf' : '-inf';
  if (Object.is(value, -0)) return '-0.0';
  const [digits, exponent] = value.toExponential().split('e') as [string, string];
  const power = Number(exponent);
  if (power < -4 || power >= 16) return `${digits}e${power < 0 ? '-' : '+'}${String(Math.abs(power)).padStart(2, '0')}`;
  const text = String(value);
  return text.includes('.') ? text : `${text}.0`;
}
