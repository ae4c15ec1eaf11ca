/** Reads the tool calls out of an answer, in the forms that models write: JSON, with and without tags, and Python. */
import { asObject, type Fields, foundJson, parsedJson } from './json-text.ts';

export interface Call {
  readonly name: string;
  readonly args: Fields;
}

/** Bounds how deep the values of a call may be nested. Beyond that the text is no call. */
export const deepest = 64;

/**
 * Returns the calls in an answer, none where it is plain text. Tags of Hermes, Mistral and Llama may stand around them; words
 * may stand before the first tag. A call that is broken makes the whole answer one without calls.
 */
export function callsIn(text: string): readonly Call[] {
  const tagged = [...text.matchAll(/<tool_call>([\s\S]*?)(?:<\/tool_call>|$)/g)].map(([, inside]) => inside!);
  if (tagged.length > 0) return together(tagged.map(jsonCalls));
  const marked = /(?:\[TOOL_CALLS\]|<\|python_tag\|>|<\|tool_call\|>|<\|tool_call_start\|>)([\s\S]*)$/.exec(text)?.[1];
  const plain = (marked ?? text).replace(/<\|[a-z_]+\|>\s*$/i, '').trim();
  return jsonCalls(plain) ?? callsByLine(plain) ?? pythonCalls(plain) ?? [];
}

function together(parts: readonly (readonly Call[] | null)[]): readonly Call[] {
  return parts.every((part) => part !== null) ? parts.flat() : [];
}

// ── JSON ────────────────────────────────────────────────────────────────────────────────────────────────────────────────

function jsonCalls(text: string): readonly Call[] | null {
  const found = foundJson(text);
  if (found === null || nesting(found.value) > deepest) return null;
  const message = asObject(found.value);
  const list: unknown = message?.['tool_calls'] ?? message?.['function_call'] ?? found.value;
  const calls = (Array.isArray(list) ? list : [list]).map(callOf);
  return calls.length > 0 && calls.every((call) => call !== null) ? calls : null;
}

/** Reads one call per line, or several behind semicolons, as Llama writes parallel ones. */
function callsByLine(text: string): readonly Call[] | null {
  const lines = text.split(/\n|;\s*(?=\{)/).filter((line) => line.trim() !== '');
  if (lines.length < 2) return null;
  const calls = lines.map(jsonCalls);
  return calls.every((one) => one !== null) ? calls.flat() : null;
}

function callOf(value: unknown): Call | null {
  const call = asObject(value);
  const own = asObject(call?.['function']) ?? call;
  const name = own?.['name'] ?? (typeof call?.['function'] === 'string' ? call['function'] : null);
  if (typeof name !== 'string' || name === '') return null;
  const given = own?.['arguments'] ?? own?.['parameters'];
  // An object with a name alone is as likely a person as a call.
  if (given === undefined) return null;
  const args = typeof given === 'string' ? asObject(parsedJson(given.trim() === '' ? '{}' : given)?.value) : asObject(given);
  return args === null || nesting(args) > deepest ? null : { name, args };
}

/** Returns how deep a value is nested, up to one more than the deepest that is read. */
export function nesting(value: unknown): number {
  let level: unknown[] = [value];
  for (let depth = 0; depth <= deepest; depth++) {
    level = level.filter((one) => typeof one === 'object' && one !== null).flatMap((one) => Object.values(one as object));
    if (level.length === 0) return depth;
  }
  return deepest + 1;
}

// ── Python ──────────────────────────────────────────────────────────────────────────────────────────────────────────────

/** Reads `[f(a=1, b="x"), g()]` or a single call; returns null for anything else. */
function pythonCalls(text: string): readonly Call[] | null {
  try {
    return new PythonCalls(/^`{3}[a-z]*\n([\s\S]*?)\n?`{3}$/.exec(text)?.[1] ?? text).read();
  } catch (error) {
    if (error instanceof NoCall) return null;
    throw error;
  }
}

/** Holds the constants of Python, and of JSON, which models mix with them. */
const constants = new Map<string, unknown>([
  ...([
    ['True', true],
    ['False', false],
    ['None', null],
  ] as const),
  ...([
    ['true', true],
    ['false', false],
    ['null', null],
  ] as const),
]);

class NoCall extends Error {}

class PythonCalls {
  #at = 0;
  #depth = 0;
  readonly #text: string;

  constructor(text: string) {
    this.#text = text;
  }

  read(): readonly Call[] {
    const calls = this.#takes('[') ? this.#list(']', () => this.#call()) : [this.#call()];
    this.#space();
    if (this.#at < this.#text.length || calls.length === 0) throw new NoCall();
    return calls;
  }

  #call(): Call {
    const name = this.#match(/[A-Za-z_][\w.]*/y);
    this.#expect('(');
    const args = this.#list(')', (): [string, unknown] => {
      const key = this.#match(/[A-Za-z_]\w*/y);
      this.#expect('=');
      return [key, this.#value()];
    });
    return { name, args: Object.fromEntries(args) };
  }

  #value(): unknown {
    if (++this.#depth > deepest) throw new NoCall();
    try {
      if (this.#takes('[')) return this.#list(']', () => this.#value());
      if (this.#takes('(')) return this.#list(')', () => this.#value());
      if (this.#takes('{'))
        return Object.fromEntries(
          this.#list('}', (): [string, unknown] => {
            const key = this.#string();
            this.#expect(':');
            return [key, this.#value()];
          }),
        );
      this.#space();
      const next = this.#text[this.#at];
      if (next === '"' || next === "'") return this.#string();
      const word = this.#match(/[-+]?(?:\d[\d_]*\.?\d*|\.\d+)(?:[eE][-+]?\d+)?|[A-Za-z]+/y);
      if (constants.has(word)) return constants.get(word);
      const number = Number(word.replaceAll('_', ''));
      if (Number.isNaN(number)) throw new NoCall();
      return number;
    } finally {
      this.#depth--;
    }
  }

  #string(): string {
    const quoted = this.#match(/"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'/y);
    const escapes: Readonly<Record<string, string>> = { n: '\n', t: '\t', r: '\r' };
    return quoted
      .slice(1, -1)
      .replace(/\\(u[0-9a-fA-F]{4}|.)/g, (_, escaped: string) =>
        escaped.length > 1 ? String.fromCharCode(parseInt(escaped.slice(1), 16)) : (escapes[escaped] ?? escaped),
      );
  }

  #list<T>(end: string, item: () => T): T[] {
    const items: T[] = [];
    while (!this.#takes(end)) {
      items.push(item());
      if (this.#takes(',')) continue;
      this.#expect(end);
      break;
    }
    return items;
  }

  #takes(symbol: string): boolean {
    this.#space();
    if (!this.#text.startsWith(symbol, this.#at)) return false;
    this.#at += symbol.length;
    return true;
  }

  #expect(symbol: string): void {
    if (!this.#takes(symbol)) throw new NoCall();
  }

  #match(pattern: RegExp): string {
    this.#space();
    pattern.lastIndex = this.#at;
    const found = pattern.exec(this.#text)?.[0];
    if (found === undefined) throw new NoCall();
    this.#at += found.length;
    return found;
  }

  #space(): void {
    while (/\s/.test(this.#text[this.#at] ?? '')) this.#at++;
  }
}
