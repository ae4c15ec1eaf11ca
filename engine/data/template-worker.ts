/** The thread in which templates are rendered. It has limited memory and is ended when it takes too long. */
import { workerData, type MessagePort } from 'node:worker_threads';
import { Template } from '@huggingface/jinja';

export interface TemplateSetup {
  readonly port: MessagePort;
  /** Set to 1 and notified when an answer, or at first the thread itself, is there. */
  readonly answered: Int32Array<SharedArrayBuffer>;
}
export interface TemplateTask {
  readonly source: string;
  readonly variables: Readonly<Record<string, unknown>>;
  readonly maxCharacters: number;
}
export type TemplateAnswer = { readonly text: string } | { readonly problem: string };

const { port, answered } = workerData as TemplateSetup;
let opened: { readonly source: string; readonly template: Template } | null = null;

function answer({ source, variables, maxCharacters }: TemplateTask): TemplateAnswer {
  try {
    if (opened?.source !== source) opened = { source, template: new Template(source) };
    const text = opened.template.render(variables);
    return text.length <= maxCharacters ? { text } : { problem: `it made ${text.length} characters of one conversation` };
  } catch (error) {
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
