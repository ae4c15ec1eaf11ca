/** The thread in which templates are rendered. It has limited memory and is ended when it takes too long. */
import { workerData, type MessagePort } from 'node:worker_threads';
import { Environment, Template } from '@huggingface/jinja';
import { mendedFunctions, mendTemplate, mendValues } from './template-mends.ts';

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
mendValues(new Environment());
let opened: { readonly source: string; readonly template: Template } | null = null;

function answer({ source, variables, maxCharacters, wallClock }: TemplateTask): TemplateAnswer {
  try {
    if (opened?.source !== source) {
      const template = new Template(source);
      mendTemplate(template.parsed);
      opened = { source, template };
    }
    const text = opened.template.render({ ...variables, ...mendedFunctions(wallClock) });
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
