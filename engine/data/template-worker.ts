/** Renders templates in a thread of its own, which has limited memory and is ended when it takes too long. */
import { workerData, type MessagePort } from 'node:worker_threads';
import { Environment, Template } from '@huggingface/jinja';
import { parseKeepingNumbers } from './json-numbers.ts';
import { tagWith, type TemplatePlace, unreadableTag } from './template-place.ts';
import { mendedFunctions, mendTemplate, mendValues } from './template-mends.ts';

export interface TemplateSetup {
  readonly port: MessagePort;
  /** Is set to 1 and notified when an answer is ready, and once when the thread itself is. */
  readonly answered: Int32Array<SharedArrayBuffer>;
}
export interface TemplateTask {
  readonly source: string;
  /** Holds the JSON of an object, in which numbers are written as in the rows. */
  readonly variables: string;
  readonly maxCharacters: number;
  /** Gives what a local clock shows, as UTC milliseconds. */
  readonly localTime: number;
}
/**
 * Holds the rendered text, what cannot be read of the template whatever it is to render, the problem that the template or the
 * library reports of this conversation, or that the result or something on the way to it is too large.
 */
export type TemplateAnswer =
  | { readonly text: string }
  | { readonly unreadable: string; readonly place: TemplatePlace | null }
  | { readonly problem: string; readonly place: TemplatePlace | null }
  | { readonly tooLarge: string };

const { port, answered } = workerData as TemplateSetup;
mendValues(new Environment());
let opened: { readonly source: string; readonly template: Template } | null = null;

function answer({ source, variables, maxCharacters, localTime }: TemplateTask): TemplateAnswer {
  try {
    if (opened?.source !== source) {
      const template = parsed(source);
      if (!(template instanceof Template)) return template;
      mendTemplate(template.parsed);
      opened = { source, template };
    }
    const given = parseKeepingNumbers(variables) as Readonly<Record<string, unknown>>;
    const text = opened.template.render({ ...given, ...mendedFunctions(localTime) });
    return text.length <= maxCharacters ? { text } : { tooLarge: `it made ${text.length} characters of one conversation` };
  } catch (error) {
    // JavaScript itself throws this where a text, a list or the call stack exceeds its limits.
    if (error instanceof RangeError)
      return { tooLarge: `it makes more of one conversation than can be held (${error.message})` };
    const problem = messageOf(error);
    const [, kind, name] = /^Unknown (?:\w+ )?(filter|test): (\w+)$/.exec(problem) ?? [];
    return { problem, place: name === undefined ? null : tagWith(source, kind as 'filter' | 'test', name) };
  }
}

/** Returns a template, or what cannot be read of it. */
function parsed(source: string): Template | TemplateAnswer {
  try {
    return new Template(source);
  } catch (error) {
    if (error instanceof RangeError) throw error;
    return { unreadable: messageOf(error), place: unreadableTag(source) };
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
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
