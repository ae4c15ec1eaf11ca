/** Chat templates: a model's own Jinja source, rendered without access to anything of ours and for a limited time. */
import { createContext, Script } from 'node:vm';
import { Template } from '@huggingface/jinja';
import type { ChatMessage } from '../contract.ts';
import { Problem } from '../problem.ts';
import type { Tokenizer } from './tokenizer.ts';

/** Longest time one conversation may take to render, and the most text it may become. */
const timeLimitMs = 2000;
const maxCharacters = 16_000_000;
/** A template that ran out of time this often is not tried on further conversations. */
const maxTimeouts = 3;

export interface ChatTemplate {
  render(messages: readonly ChatMessage[], options: { readonly addGenerationPrompt: boolean }): string;
}

/** The tokenizer's chat template, ready to render. */
export function openTemplate(tokenizer: Pick<Tokenizer, 'chatTemplate' | 'bosText' | 'eosText'>): ChatTemplate {
  const source = tokenizer.chatTemplate;
  if (source === null)
    throw new Problem(
      'template-missing',
      'The model has no chat template, so conversations cannot be written as text.',
      'Use rows with {"text"} or {"prompt", "completion"}, or an instruction-tuned model.',
    );
  const template = withinLimit(() => new Template(source), 'read');
  const bos_token = tokenizer.bosText ?? '';
  const eos_token = tokenizer.eosText ?? '';
  let timeouts = 0;
  return {
    render(messages, { addGenerationPrompt }) {
      if (timeouts >= maxTimeouts) throw outOfTime('rendered');
      const text = withinLimit(
        () =>
          template.render({
            messages: messages.map((message) => ({ ...message })),
            bos_token,
            eos_token,
            add_generation_prompt: addGenerationPrompt,
            tools: null,
          }),
        'rendered',
        () => timeouts++,
      );
      if (text.length > maxCharacters)
        throw new Problem(
          'template-failed',
          `The chat template made ${text.length} characters of one conversation.`,
          'Use shorter conversations.',
        );
      return text;
    },
  };
}

/** Interrupts even a loop that never ends: the time limit of node:vm covers everything the script calls. */
function withinLimit<T>(work: () => T, what: 'read' | 'rendered', onTimeout?: () => void): T {
  let result: { value: T } | undefined;
  const context = createContext({
    work: () => {
      result = { value: work() };
    },
  });
  try {
    call.runInContext(context, { timeout: timeLimitMs });
  } catch (cause) {
    const error = cause as { message?: string; code?: string };
    if (error.code === 'ERR_SCRIPT_EXECUTION_TIMEOUT') {
      onTimeout?.();
      throw outOfTime(what);
    }
    throw new Problem(
      'template-failed',
      `The chat template could not be ${what}: ${error.message ?? String(cause)}.`,
      'Check the order of roles in the conversation; some templates allow only user and assistant in turn.',
      { cause },
    );
  }
  return result!.value;
}
const call = new Script('work()');

function outOfTime(what: 'read' | 'rendered'): Problem {
  return new Problem(
    'template-failed',
    `The chat template could not be ${what}: it needed more than ${timeLimitMs / 1000} seconds.`,
    'The template may be damaged; use the one of the original model.',
  );
}
