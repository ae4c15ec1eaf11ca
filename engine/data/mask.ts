/**
 * Builds the loss mask of a conversation. What the model has to write after the generation prompt is trained, up to and
 * including the token that ends its turn, and nothing else.
 *
 * For an assistant turn the chat template is rendered twice: the messages before the turn with `add_generation_prompt`, and the
 * conversation through the turn without it. What the second rendering adds to the first is the turn. It ends at its first token
 * that ends an answer; a line break that the template writes after that token is not the model's. So the header of a turn is
 * not trained, whereas a channel or an empty thought that the template writes between prompt and answer is.
 *
 * - Where later turns leave a turn as it was written, one example trains them all. Where the template writes earlier turns
 *   differently (it removes thoughts, or writes an end token after the last turn only), each such turn is an example of its
 *   own. It is trained as it is written when it is the last turn, which is how the model will have to write it.
 * - Where the turn does not begin with the prompt, because the prompt opens a thought that the template removes from every
 *   turn, the answer is appended to the prompt as it stands. An answer without a thought gets an empty one, as such templates
 *   write it.
 * - Where the token that ends a turn is the beginning of the next turn (GLM begins it with `<|user|>`), that token is trained,
 *   also after the last turn: a model that has not learned it never stops.
 * - A tool call is part of the turn that makes it. Its result is not, because the model does not write it.
 * - `{% generation %}` marks exclude parts of a turn. The end token is trained even where a mark closes before it.
 */
import type { ChatMessage } from '../contract.ts';
import { Problem } from '../problem.ts';
import type { RowSettings } from '../recipe.ts';
import type { Conversation } from './content.ts';
import type { EndTokens } from './end-tokens.ts';
import { inputsOf } from './template-inputs.ts';
import type { ChatTemplate } from './template.ts';
import { type Span, type Turn, TurnRenderer } from './turns.ts';

/** Holds a conversation, or its beginning, as text with the spans that are trained. */
export interface ConversationExample {
  readonly messages: readonly ChatMessage[];
  readonly text: string;
  readonly trained: readonly Span[];
  /**
   * Holds the lengths of the prompts in the text. The model begins to write at these positions, so a token boundary is forced
   * there.
   */
  readonly prompts: readonly number[];
  /** Numbers the last assistant turn that is trained, from 1. */
  readonly turn: number;
  /** Numbers the trained messages, from 1, that do not end with a token that ends an answer. */
  readonly withoutStopToken: readonly number[];
  /** Holds the generation prompt of each trained turn: the prompt without the conversation before it. */
  readonly asks: readonly string[];
}

export interface RenderedConversation {
  /**
   * Holds one example where the template leaves earlier turns as they were, otherwise at most one for each trained turn, in the
   * order of the turns.
   */
  readonly examples: readonly ConversationExample[];
  /** Lists the messages that the template leaves out wholly, or of which it leaves out a part that is not a thought. */
  readonly leftOut: readonly LeftOut[];
  /** Counts the turns that would be examples of their own and are left out because only the last one is wanted. */
  readonly skippedTurns: number;
}

/** Names a message whose content the template leaves out by its number, from 1, and its role. */
export interface LeftOut {
  readonly message: number;
  readonly role: ChatMessage['role'];
}

/** Holds the settings that decide how conversations are rendered. */
type Rules = Pick<RowSettings, 'unroll' | 'foldSystem'>;

/**
 * Renders a conversation. Throws a `Problem` for an answer that is empty, left out by the template, or impossible to tell apart
 * from the rest, and for anything that the template does not write at all.
 */
export function renderConversation(
  template: ChatTemplate,
  conversation: Conversation,
  ends: EndTokens,
  rules: Rules = { unroll: 'all', foldSystem: false },
): RenderedConversation {
  const inputs = inputsOf(template, conversation, rules);
  const rendering = new TurnRenderer(template, inputs, ends);
  const { messages, trained } = inputs;
  const answers = [...messages.keys()].filter((i) => messages[i]!.role === 'assistant');
  const learned = answers.filter((i) => trained[i] === true);
  for (const i of learned) requireAnswer(messages[i]!, inputs.partsOf(messages[i]!).answer, i);

  const untrained = { trained: [], prompts: [], turn: 0, withoutStopToken: [], asks: [] };
  const whole: Draft = {
    ...{ messages, text: rendering.text(messages.length), ...untrained },
    marks: learned.length === 0 ? null : rendering.marks(messages.length),
  };
  const drafts: Draft[] = [];
  for (const [i, turn] of learned.map((i) => [i, rendering.turn(i)] as const).toReversed()) {
    const later = drafts[0] ?? whole;
    const fits = later.text.startsWith(turn.text.slice(0, turn.end));
    const own = { messages: messages.slice(0, i + 1), text: turn.text, ...untrained, marks: turn.marks };
    const draft = fits ? later : own;
    const trained = spansOf(turn, draft.marks);
    if (trained.length === 0) continue;
    if (fits) drafts.shift();
    drafts.unshift({
      ...draft,
      trained: [...trained, ...draft.trained],
      prompts: [turn.start, ...draft.prompts],
      turn: draft.turn || answers.indexOf(i) + 1,
      withoutStopToken: turn.tail === null ? [i + 1, ...draft.withoutStopToken] : draft.withoutStopToken,
      asks: [turn.ask, ...draft.asks],
    });
  }
  const leftOut = rendering.leftOut().map((message) => ({ message, role: messages[message - 1]!.role }));
  const examples = drafts.length === 0 ? [whole] : unrolled(drafts, rules);
  const turnsOf = (some: readonly ConversationExample[]) => some.reduce((sum, { prompts }) => sum + prompts.length, 0);
  return { examples, leftOut, skippedTurns: turnsOf(drafts) - turnsOf(examples.filter(({ turn }) => turn > 0)) };
}

/**
 * Returns the examples that are wanted of a conversation. Throws a `Problem` where there should be only one and there are more.
 */
function unrolled<T extends ConversationExample>(drafts: readonly T[], { unroll }: Rules): readonly T[] {
  if (drafts.length === 1 || unroll === 'all') return drafts;
  if (unroll === 'last') return drafts.slice(-1);
  throw new Problem(
    'data-invalid',
    `the chat template writes message ${drafts[0]!.messages.length} differently once others follow, so the conversation is ${drafts.length} examples and not one.`,
    `Choose to unroll such conversations (unroll 'all' or 'last'), or leave the row out.`,
  );
}

/** Holds an unfinished example with the spans that its template marks as generated, or null where it marks none. */
interface Draft extends ConversationExample {
  readonly marks: readonly Span[] | null;
}

/** Returns the spans of a turn that are trained: all of it, or the marked parts and its end token. */
function spansOf({ start, end, tail }: Turn, marks: readonly Span[] | null): Span[] {
  if (marks === null) return [{ start, end }];
  const within = marks.filter((span) => span.end > start && span.start < end);
  const spans = within.map((span) => ({ start: Math.max(start, span.start), end: Math.min(end, span.end) }));
  return spans.length === 0 || tail === null ? spans : [...spans, { start: tail, end }];
}

function requireAnswer({ tool_calls: calls = [] }: ChatMessage, answer: string, i: number): void {
  if (calls.length > 0 || answer.trim() !== '') return;
  throw new Problem(
    'data-empty',
    `message ${i + 1} is an answer without text, which teaches the model to say nothing.`,
    'Write the answer, leave the row out, or say in the row that this turn is not trained.',
  );
}
