/** The thread in which templates are rendered. It has limited memory and is ended when it takes too long. */
import { workerData, type MessagePort } from 'node:worker_threads';
import { Template } from '@huggingface/jinja';
import { strftime } from './strftime.ts';

export interface TemplateSetup {
  readonly port: MessagePort;
  /** Set to 1 and notified when an answer, or at first the thread itself, is there. */
  readonly answered: Int32Array<SharedArrayBuffer>;
}
export interface TemplateTask {
  readonly source: string;
  readonly variables: Readonly<Record<string, unknown>>;
  readonly maxCharacters: number;
  /** What a clock on the wall shows, as the milliseconds that it would be in UTC. */
  readonly wallClock: number;
}
/** The text; what the template or the library says; or that the text or what is made on the way to it is too large to be made. */
export type TemplateAnswer = { readonly text: string } | { readonly problem: string } | { readonly tooLarge: string };

const { port, answered } = workerData as TemplateSetup;
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

const prefix = '__';
const functions = Object.fromEntries(
  Object.entries(strips).map(([name, cut]) => [
    `${prefix}${name}`,
    (text: unknown, characters: unknown) => {
      if (typeof text !== 'string' || typeof characters !== 'string') throw new Error(`${name}() needs texts`);
      return cut(text, characters);
    },
  ]),
);

interface Call {
  type: unknown;
  callee: { type?: unknown; value?: unknown; computed?: boolean; object?: unknown; property?: { value?: unknown } };
  args: unknown[];
}

/** Makes `text.strip(characters)` within a parsed template a call of our own function. */
function takeStrips(node: unknown): void {
  if (typeof node !== 'object' || node === null) return;
  const call = node as Call;
  const { callee } = call;
  const name = callee?.property?.value;
  const isStrip = typeof name === 'string' && Object.hasOwn(strips, name);
  if (call.type === 'CallExpression' && isStrip && callee.computed === false && call.args.length === 1) {
    call.args.unshift(callee.object);
    call.callee = { type: 'Identifier', value: `${prefix}${name}` };
  }
  for (const inner of Object.values(node)) takeStrips(inner);
}

const dateFunction = 'strftime_now';

/** Makes `strftime_now` within a parsed template our own: the library lets nothing else have the name. */
function takeDates(node: unknown): void {
  if (typeof node !== 'object' || node === null) return;
  const named = node as { type?: unknown; value?: unknown };
  if (named.type === 'Identifier' && named.value === dateFunction) named.value = `${prefix}${dateFunction}`;
  for (const inner of Object.values(node)) takeDates(inner);
}

/** `strftime_now(format)` of transformers; the library's own knows few codes and writes names in the language of the computer. */
function dateWriter(wallClock: number): (format: unknown) => string {
  return (given) => {
    const format: unknown = given instanceof Map ? (given.get('format') as { value?: unknown } | undefined)?.value : given;
    if (typeof format !== 'string') throw new Error('strftime_now() needs a format');
    return strftime(format, wallClock);
  };
}

let opened: { readonly source: string; readonly template: Template } | null = null;

function answer({ source, variables, maxCharacters, wallClock }: TemplateTask): TemplateAnswer {
  try {
    if (opened?.source !== source) {
      const template = new Template(source);
      takeStrips(template.parsed);
      takeDates(template.parsed);
      opened = { source, template };
    }
    const text = opened.template.render({ ...variables, ...functions, [`${prefix}${dateFunction}`]: dateWriter(wallClock) });
    return text.length <= maxCharacters ? { text } : { tooLarge: `it made ${text.length} characters of one conversation` };
  } catch (error) {
    // Thrown by the language itself: a text, a list or calls within calls past what it can hold.
    if (error instanceof RangeError)
      return { tooLarge: `it makes more of one conversation than can be held (${error.message})` };
    return { problem: error instanceof Error ? error.message : String(error) };
  }
}

function notify(): void {
  Atomics.store(answered, 0, 1);
  Atomics.notify(answered, 0);
}

port.on('message', (task: TemplateTask) => {
  port.postMessage(answer(task));
  notify();
});
notify();
