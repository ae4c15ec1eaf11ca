/** Where the template library differs from Jinja as transformers runs it: parsed templates are mended so that they say the same in both. */
import { strftime } from './strftime.ts';

/** Python's methods that cut given characters off a text; the library's own take no notice of which and cut white space. */
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

/** Our own functions begin so, where no template has a name of its own. */
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

/** Returns the functions that a mended template calls; `wallClock` is what a clock on the wall shows, as the milliseconds that it would be in UTC. */
export function mendedFunctions(wallClock: number): Readonly<Record<string, unknown>> {
  return { ...functions, [`${prefix}${dateFunction}`]: dateWriter(wallClock) };
}

/** `strftime_now(format)` of transformers; the library's own knows few codes and writes names in the language of the computer. */
function dateWriter(wallClock: number): (format: unknown) => string {
  return (given) => {
    const format: unknown = given instanceof Map ? (given.get('format') as { value?: unknown } | undefined)?.value : given;
    if (typeof format !== 'string') throw new Error('strftime_now() needs a format');
    return strftime(format, wallClock);
  };
}

/** Any node of a parsed template, by the fields that are looked at. */
interface Node {
  type?: unknown;
  value?: unknown;
  callee?: Node & { computed?: boolean; object?: unknown; property?: Node };
  args?: unknown[];
  operand?: unknown;
  filter?: Node;
}

/** Filters that take what is not there for an empty text, and those that take it, and None, for an empty list. */
const ofTexts: ReadonlySet<unknown> = new Set([
  'trim',
  'upper',
  'lower',
  'title',
  'capitalize',
  'replace',
  'length',
  'count',
  'indent',
]);
const ofLists: ReadonlySet<unknown> = new Set(['select', 'reject', 'selectattr', 'rejectattr', 'map']);

/** Mends a parsed template and all that is in it. */
export function mend(node: unknown): void {
  if (typeof node !== 'object' || node === null) return;
  const { type, callee, args, filter } = node as Node;
  if (type === 'CallExpression') mendStrip(node, callee, args);
  if (type === 'Identifier' && (node as Node).value === dateFunction) (node as Node).value = `${prefix}${dateFunction}`;
  if (type === 'FilterExpression') {
    const name = filter?.type === 'CallExpression' ? filter.callee?.value : filter?.value;
    const operand = (node as Node).operand;
    if (ofTexts.has(name)) (node as Node).operand = { type: 'FilterExpression', operand, filter: withEmptyText };
    if (ofLists.has(name))
      (node as Node).operand = { type: 'BinaryExpression', operator: { value: 'or' }, left: operand, right: noList };
  }
  const inner = node instanceof Map ? [...node.entries()].flat() : Object.values(node);
  for (const each of inner) mend(each);
}

const withEmptyText = {
  ...{ type: 'CallExpression', callee: { type: 'Identifier', value: 'default' } },
  args: [{ type: 'StringLiteral', value: '' }],
};
const noList = { type: 'ArrayLiteral', value: [] };

/** Makes `text.strip(characters)` a call of our own function. */
function mendStrip(node: object, callee: Node['callee'], args: unknown[] | undefined): void {
  const name = callee?.property?.value;
  if (typeof name !== 'string' || !Object.hasOwn(strips, name) || callee!.computed !== false || args?.length !== 1) return;
  args.unshift(callee!.object);
  (node as Node).callee = { type: 'Identifier', value: `${prefix}${name}` };
}
