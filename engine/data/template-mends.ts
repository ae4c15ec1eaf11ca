/** Mends parsed templates where the template library differs from Jinja as transformers runs it. */
import { JsonNumber, pythonFloat, pythonNumber } from './json-numbers.ts';
import { strftime } from './strftime.ts';

/**
 * Implements Python's methods that strip given characters from a text. The library's own ignore the characters and strip white
 * space.
 */
const strips: Readonly<Record<string, (text: string, characters: string) => string>> = {
  strip: (text, characters) => cutEnd(cutStart(text, characters), characters),
  lstrip: cutStart,
  rstrip: cutEnd,
};

function cutStart(text: string, characters: string): string {
  const all = [...text];
  const first = all.findIndex((character) => !characters.includes(character));
  return first < 0 ? '' : all.slice(first).join('');
}

function cutEnd(text: string, characters: string): string {
  const all = [...text];
  return all.slice(0, all.findLastIndex((character) => !characters.includes(character)) + 1).join('');
}

/** Our own functions have this prefix, which no template's names have. */
const prefix = '__';
const dateFunction = 'strftime_now';

const functions = Object.fromEntries(
  Object.entries(strips).map(([name, cut]) => [
    `${prefix}${name}`,
    (text: unknown, characters: unknown) => {
      if (typeof text !== 'string' || typeof characters !== 'string') throw new Error(`${name}() needs texts`);
      return cut(text, characters);
    },
  ]),
);

/** Returns the functions that a mended template calls. `localTime` is what a local clock shows, as UTC milliseconds. */
export function mendedFunctions(localTime: number): Readonly<Record<string, unknown>> {
  return {
    ...functions,
    ...tableFunctions,
    ...memberFunctions,
    [textFunction]: textOf,
    [filteredFunction]: filtered,
    [`${prefix}${dateFunction}`]: dateWriter(localTime),
  };
}

/**
 * Returns `strftime_now(format)` of transformers. The library's own knows few codes and writes names in the computer's
 * language.
 */
function dateWriter(localTime: number): (format: unknown) => string {
  return (given) => {
    const format: unknown = given instanceof Map ? (given.get('format') as { value?: unknown } | undefined)?.value : given;
    if (typeof format !== 'string') throw new Error('strftime_now() needs a format');
    return strftime(format, localTime);
  };
}

/** Describes any node of a parsed template, with the fields that are examined here. */
interface Node {
  type?: unknown;
  value?: unknown;
  callee?: Node;
  args?: unknown[];
  operand?: unknown;
  filter?: Node;
  computed?: unknown;
  object?: Node;
  property?: Node;
  assignee?: Node;
  operator?: { value?: unknown };
  left?: unknown;
  right?: Node;
}

/** Lists the filters that convert what they are given to text, and those that treat a missing value, or None too, as an empty list. */
const ofTexts: ReadonlySet<unknown> = new Set(['trim', 'upper', 'lower', 'title', 'capitalize', 'replace', 'indent']);
const ofLengths: ReadonlySet<unknown> = new Set(['length', 'count']);
const ofLists: ReadonlySet<unknown> = new Set(['select', 'reject', 'selectattr', 'rejectattr', 'map']);

/** Mends a parsed template. */
export function mendTemplate(parsed: unknown): void {
  mendTables(parsed);
  mend(parsed);
}

/** Mends a node and everything in it. */
function mend(node: unknown): void {
  if (typeof node !== 'object' || node === null) return;
  // A replacement contains the node it replaces, so inner nodes come first.
  for (const each of partsOf(node)) mend(each);
  const { type, callee, args, filter, operator, left, right } = node as Node;
  if (type === 'CallExpression') mendStrip(node, callee, args);
  if (type === 'Identifier' && (node as Node).value === dateFunction) (node as Node).value = `${prefix}${dateFunction}`;
  if (type === 'FilterExpression') {
    const name = filter?.type === 'CallExpression' ? filter.callee?.value : filter?.value;
    const operand = (node as Node).operand;
    if (name === 'string' && filter?.type === 'Identifier')
      Object.assign(node, asText(operand), { operand: null, filter: null });
    if (ofTexts.has(name))
      (node as Node).operand = callOf('filtered', [withDefault(operand, noText), { type: 'StringLiteral', value: name }]);
    if (ofLengths.has(name)) (node as Node).operand = withDefault(operand, noText);
    if (ofLists.has(name))
      (node as Node).operand = { type: 'BinaryExpression', operator: { value: 'or' }, left: operand, right: noList };
  }
  if (type === 'BinaryExpression' && (operator?.value === 'in' || operator?.value === 'not in'))
    Object.assign(node, callOf(operator.value === 'in' ? 'in' : 'notIn', [left, withDefault(right, noList)]));
  if (type === 'BinaryExpression' && operator?.value === '~') Object.assign(node, { left: asText(left), right: asText(right) });
}

function partsOf(node: object): unknown[] {
  return node instanceof Map ? [...node.entries()].flat() : Object.values(node);
}

const noText = { type: 'StringLiteral', value: '' };
const noList = { type: 'ArrayLiteral', value: [] };

/** Returns a node that is `instead` where the operand is missing. None is not missing. */
function withDefault(operand: unknown, instead: object): object {
  const callee = { type: 'Identifier', value: 'default' };
  return { type: 'FilterExpression', operand, filter: { type: 'CallExpression', callee, args: [instead] } };
}

/** Turns `text.strip(characters)` into a call of our own function. */
function mendStrip(node: object, callee: Node['callee'], args: unknown[] | undefined): void {
  const name = callee?.property?.value;
  if (typeof name !== 'string' || !Object.hasOwn(strips, name) || callee!.computed !== false || args?.length !== 1) return;
  args.unshift(callee!.object);
  (node as Node).callee = { type: 'Identifier', value: `${prefix}${name}` };
}

// ── Values as texts ─────────────────────────────────────────────────────────────────────────────────────────────────────

/** Holds a value of the library, or a text or number as a template is handed it. */
interface Held {
  readonly type?: string;
  readonly value: unknown;
}

const textFunction = `${prefix}text`;

/**
 * Returns a node that converts another one to text. The library does this for texts and numbers, whose kind our own functions
 * are not told.
 */
function asText(node: unknown): object {
  const { type, operator } = (node ?? {}) as Node;
  if (type === 'StringLiteral' || (type === 'BinaryExpression' && operator?.value === '~')) return node as object;
  const isPlain = { type: 'BinaryExpression', operator: { value: 'or' }, left: is('string', node), right: is('number', node) };
  const plain = { type: 'FilterExpression', operand: node, filter: { type: 'Identifier', value: 'string' } };
  const none = { type: 'StringLiteral', value: 'None' };
  const other = { type: 'CallExpression', callee: { type: 'Identifier', value: textFunction }, args: [node] };
  return choice(isPlain, plain, choice(is('none', node), none, other));
}

function is(test: string, operand: unknown): object {
  return { type: 'TestExpression', operand, negate: false, test: { type: 'Identifier', value: test } };
}

function choice(condition: object, trueExpr: object, falseExpr: object): object {
  return { type: 'Ternary', condition, trueExpr, falseExpr };
}

/**
 * Returns Python's `str` of a value that is not a text, a number or None. Our own functions are handed what the library's
 * values hold.
 */
function textOf(held: unknown): string {
  return held === undefined ? '' : writtenAs({ value: held });
}

const filteredFunction = `${prefix}filtered`;

/** Returns the text that a filter of texts works on: a list or an object is written as Python does. */
function filtered(held: unknown, filter: unknown): string {
  if (typeof held === 'string') return held;
  // Our own functions are not told whether a number is a float.
  if (typeof held === 'number') throw new Error(`Unknown number filter: ${String(filter)}`);
  // The library hands None over as undefined.
  return held === undefined ? 'None' : textOf(held);
}

/** Returns Python's `repr` of a value. */
function writtenAs({ type, value }: Held): string {
  if (type === 'NullValue') return 'None';
  if (value === undefined) return 'Undefined';
  if (typeof value === 'boolean') return value ? 'True' : 'False';
  if (typeof value === 'number') return type === 'FloatValue' ? pythonFloat(value) : String(value);
  if (typeof value === 'string') return quoted(value);
  if (value instanceof Map) {
    const entries = [...(value as ReadonlyMap<string, Held>)].map(([key, inner]) => `${quoted(key)}: ${writtenAs(inner)}`);
    return `{${entries.join(', ')}}`;
  }
  if (!Array.isArray(value)) return String(value);
  const entries = (value as readonly Held[]).map(writtenAs);
  if (type === 'TupleValue') return entries.length === 1 ? `(${entries[0]},)` : `(${entries.join(', ')})`;
  return `[${entries.join(', ')}]`;
}

/** Returns a text in quotes as Python writes it: in single quotes, unless it contains some and no double ones. */
function quoted(text: string): string {
  const quote = text.includes("'") && !text.includes('"') ? '"' : "'";
  const named: Readonly<Record<string, string>> = {
    '\n': '\\n',
    '\r': '\\r',
    '\t': '\\t',
    '\\': '\\\\',
    [quote]: `\\${quote}`,
  };
  const escape = (unit: string) => named[unit] ?? `\\x${unit.charCodeAt(0).toString(16).padStart(2, '0')}`;
  return quote + text.replace(quote === "'" ? /[\\'\p{Cc}]/gu : /[\\\p{Cc}]/gu, escape) + quote;
}

/** Describes what is used of the library's environment. */
interface Environment {
  set(name: string, value: unknown): object;
}

/**
 * Makes printed values of the library read as in Python: True, lists and objects with single quotes, and floats such as 1.0 and
 * 1e-05, also as JSON.
 */
export function mendValues(environment: Environment): void {
  const samples = Object.entries({ boolean: true, list: [], object: {}, float: 1.5, integer: 1 });
  const made = Object.fromEntries(samples.map(([name, sample]) => [name, environment.set(name, sample)]));
  for (const name of ['boolean', 'list', 'object', 'float'])
    Object.defineProperty(Object.getPrototypeOf(made[name]) as object, 'toString', {
      value(this: Held) {
        return writtenAs(this);
      },
    });
  const [Float, Integer] = [made['float']!, made['integer']!].map(
    ({ constructor }) => constructor as new (value: unknown) => object,
  );
  const prototype = Object.getPrototypeOf(environment) as Environment;
  const set = prototype.set;
  prototype.set = function (name, value) {
    const held = set.call(this, name, value);
    keepNumbers(held as Held, value, (text) => new (/[.eE]/.test(text) ? Float! : Integer!)(new JsonNumber(text)));
    return held;
  };
}

/** Replaces the numbers in the library's value of a list or an object that Python writes differently than JavaScript. */
function keepNumbers(held: Held, given: unknown, make: (text: string) => object): void {
  if (typeof given !== 'object' || given === null) return;
  const inside = held.value as Held[] | Map<string, Held>;
  for (const [key, value] of Object.entries(given) as [string, unknown][]) {
    if (typeof value !== 'number' && !(value instanceof JsonNumber)) {
      const inner = Array.isArray(inside) ? inside[Number(key)]! : inside.get(key)!;
      keepNumbers(inner, value, make);
      continue;
    }
    const text = pythonNumber(value);
    if (typeof value === 'number' && text === String(value)) continue;
    const number = make(text) as Held;
    if (Array.isArray(inside)) inside[Number(key)] = number;
    else inside.set(key, number);
  }
}

// ── Members of lists, texts and objects ─────────────────────────────────────────────────────────────────────────────────

const memberFunctions = {
  [`${prefix}in`]: isMember,
  [`${prefix}notIn`]: (held: unknown, within: unknown) => !isMember(held, within),
};

/** Returns Python's `held in within`. The library's own has no lists, missing values, numbers and None on the left. */
function isMember(held: unknown, within: unknown): boolean {
  if (Array.isArray(within)) return (within as readonly Held[]).some(({ value }) => isEqual(value, held));
  if (within instanceof Map) {
    if (typeof held === 'object' && held !== null && !(held instanceof Number))
      throw new Error('a list or an object is no key');
    return typeof held === 'string' && within.has(held);
  }
  if (typeof within !== 'string') throw new Error(`'in' needs a text, a list or an object on its right`);
  if (typeof held !== 'string') throw new Error(`'in' needs a text on its left where there is one on its right`);
  return within.includes(held);
}

/** Returns whether Python takes two values for equal: numbers by their value, lists and objects by what is in them. */
function isEqual(a: unknown, b: unknown): boolean {
  if (Array.isArray(a) && Array.isArray(b))
    return a.length === b.length && a.every((entry: Held, i) => isEqual(entry.value, (b[i] as Held).value));
  if (a instanceof Map && b instanceof Map) {
    const other = b as ReadonlyMap<unknown, Held>;
    const entries = [...(a as ReadonlyMap<unknown, Held>)];
    return (
      entries.length === other.size &&
      entries.every(([key, { value }]) => other.has(key) && isEqual(value, other.get(key)!.value))
    );
  }
  const isNumber = (value: unknown) => ['number', 'boolean'].includes(typeof value) || value instanceof Number;
  return isNumber(a) && isNumber(b) ? Number(a) === Number(b) : a === b;
}

// ── Objects with numbers as their keys ──────────────────────────────────────────────────────────────────────────────────

type Pairs = readonly (readonly [key: unknown, value: unknown])[];

/** Returns the pairs of a table. A function is handed a list whose entries the library still wraps. */
function pairsOf(table: unknown): Pairs {
  const plain = (held: unknown): unknown => (Array.isArray(held) ? held.map((entry) => plain((entry as Held).value)) : held);
  return plain(table) as Pairs;
}

const tableFunctions = {
  [`${prefix}entries`]: (table: unknown) => pairsOf(table),
  [`${prefix}sorted`]: (table: unknown) => pairsOf(table).toSorted(([a], [b]) => Number(a) - Number(b)),
  [`${prefix}keys`]: (table: unknown) => pairsOf(table).map(([key]) => key),
  [`${prefix}values`]: (table: unknown) => pairsOf(table).map(([, value]) => value),
  [`${prefix}get`]: (table: unknown, key: unknown, otherwise: unknown = null) => {
    const found = pairsOf(table).find(([own]) => own === key);
    return found === undefined ? otherwise : found[1];
  },
  [`${prefix}has`]: (table: unknown, key: unknown) => pairsOf(table).some(([own]) => own === key),
};

/**
 * Turns an object such as `{1: 'a', 2: 'b'}`, whose keys the library does not support, into a list of pairs, and each use of
 * the name that it is assigned to into a call of our own functions. An object that is used in any other way stays as it is, and
 * the library refuses it.
 */
function mendTables(parsed: unknown): void {
  const tables = new Map<unknown, Node>();
  walk(parsed, (node) => {
    if (node.type === 'Set' && node.assignee?.type === 'Identifier' && isTable(node.value))
      tables.set(node.assignee.value, node);
  });
  for (const [name, set] of tables) {
    const is = (node: unknown): boolean => (node as Node | undefined)?.type === 'Identifier' && (node as Node).value === name;
    const calls: (() => void)[] = [];
    let named = 0;
    let known = 0;
    const use = (node: Node, table: unknown, called: string, ...args: unknown[]) => {
      known++;
      calls.push(() => {
        for (const field of Object.keys(node)) delete (node as Record<string, unknown>)[field];
        Object.assign(node, callOf(called, [table, ...args]));
      });
    };
    walk(parsed, (node) => {
      if (is(node)) named++;
      const method =
        node.type === 'CallExpression' && node.callee?.computed === false && is(node.callee.object) ? node.callee : null;
      const filter = node.type === 'FilterExpression' && is(node.operand) ? node.filter?.value : null;
      if (method !== null && ['items', 'keys', 'values', 'get'].includes(String(method.property?.value)))
        use(
          node,
          method.object,
          method.property!.value === 'items' ? 'entries' : String(method.property!.value),
          ...(node.args ?? []),
        );
      else if (filter === 'items' || filter === 'dictsort') use(node, node.operand, filter === 'items' ? 'entries' : 'sorted');
      else if (
        node.type === 'MemberExpression' &&
        node.computed === true &&
        is(node.object) &&
        node.property?.type !== 'SliceExpression'
      )
        use(node, node.object, 'get', node.property);
      else if (node.type === 'BinaryExpression' && node.operator?.value === 'in' && is(node.right))
        use(node, node.right, 'has', node.left);
    });
    // The assignment itself names it once more.
    if (named - 1 !== known) continue;
    const pairs = [...(set.value as { value: Map<unknown, unknown> }).value].map((pair) => ({
      type: 'ArrayLiteral',
      value: pair,
    }));
    set.value = { type: 'ArrayLiteral', value: pairs };
    for (const call of calls) call();
  }
}

function isTable(node: unknown): boolean {
  const { type, value } = (node ?? {}) as Node;
  return (
    type === 'ObjectLiteral' && value instanceof Map && [...value.keys()].some((key) => (key as Node).type === 'IntegerLiteral')
  );
}

function callOf(name: string, args: unknown[]): Node {
  return { type: 'CallExpression', callee: { type: 'Identifier', value: `${prefix}${name}` }, args };
}

/** Visits every node, an outer one before those inside it. */
function walk(node: unknown, look: (node: Node) => void): void {
  if (typeof node !== 'object' || node === null) return;
  look(node);
  for (const each of partsOf(node)) walk(each, look);
}
