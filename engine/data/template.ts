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

/** One conversation, or one template: a Problem says what went wrong. */
function withinLimit<T>(work: () => T, what: 'read' | 'rendered', onTimeout?: () => void): T {
  try {
    const done = insideLimit ? { value: work() } : interruptible(work);
    if (done !== null) return done.value;
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new Problem(
      'template-failed',
      `The chat template could not be ${what}: ${reason}.`,
      'Check the order of roles in the conversation; some templates allow only user and assistant in turn.',
      { cause },
    );
  }
  onTimeout?.();
  throw outOfTime(what);
}

/**
 * Many conversations under one time limit, because setting one up takes longer than rendering. Null when they ran out of time
 * together: then each has to be rendered by itself.
 */
export function underOneLimit<T>(work: () => T): T | null {
  const done = interruptible(() => {
    insideLimit = true;
    return work();
  });
  return done === null ? null : done.value;
}

/** Whether the caller already is under a time limit. */
let insideLimit = false;
const context: { work?: () => void } = createContext({});
const call = new Script('work()');

/** Interrupts even a loop that never ends, since the time limit of node:vm covers everything the script calls; null when it did. */
function interruptible<T>(work: () => T): { value: T } | null {
  let result: { value: T } | null = null;
  context.work = () => {
    result = { value: work() };
  };
  try {
    call.runInContext(context, { timeout: timeLimitMs });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ERR_SCRIPT_EXECUTION_TIMEOUT') throw error;
    return null;
  } finally {
    insideLimit = false;
  }
  return result;
}

function outOfTime(what: 'read' | 'rendered'): Problem {
  return new Problem(
    'template-failed',
    `The chat template could not be ${what}: it needed more than ${timeLimitMs / 1000} seconds.`,
    'The template may be damaged; use the one of the original model.',
  );
}
