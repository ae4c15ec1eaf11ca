/**
 * Chat templates of twenty-two models under seven conversations: what is trained, and that prompts and texts are those that transformers
 * renders (engine/golden/chat-templates).
 */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { contentOf, detectFormat } from './content.ts';
import { EndTokens } from './end-tokens.ts';
import { type ConversationExample, renderConversation } from './mask.ts';
import { openTemplate } from './template.ts';
import type { Tokenizer } from './tokenizer.ts';

const folder = 'engine/golden/chat-templates';
const read = (file: string): unknown => JSON.parse(readFileSync(`${folder}/${file}`, 'utf8'));

/** A text that begins as another one does: with so many characters of it. */
type Cut = readonly [shared: number, rest: string];

interface Case {
  /** What transformers says where it refuses. */
  readonly transformers?: string;
  /** Of each trained turn, what transformers renders with a generation prompt before it, and through it. */
  readonly turns?: readonly { readonly prompt: Cut; readonly through: Cut }[];
  /** Turns, from 0, whose conversation we hand over in another way. */
  readonly other?: readonly number[];
  readonly refused?: string;
  readonly trained?: readonly (readonly string[])[];
  readonly asks?: readonly string[];
  readonly leftOut?: readonly number[];
  readonly withoutStopToken?: readonly number[];
}
interface Model {
  readonly bos: string;
  readonly eos: string;
  readonly tokens: readonly string[];
  readonly ends: readonly string[];
  readonly cases: Readonly<Record<string, Case>>;
}

const conversations = read('conversations.json') as Readonly<Record<string, Record<string, unknown>>>;
const models = Object.entries(read('expected.json') as Readonly<Record<string, Model>>);

describe.each(models)('%s', (name, { bos, eos, tokens, ends: stops, cases }) => {
  const source = readFileSync(`${folder}/${name}.jinja`, 'utf8');
  const template = openTemplate({ chatTemplate: source, bosText: bos, eosText: eos }, { day: '2026-07-15' });
  const stopTokens = stops.map((text) => tokens.indexOf(text));
  const ends = new EndTokens({ addedTokens: new Map(tokens.entries()), stopTokens });
  const render = (row: Record<string, unknown>) => {
    const format = detectFormat(row);
    if (format === 'tokens') throw new Error('no text');
    const content = contentOf(row, format, { chatTemplate: source } as Tokenizer, new Set());
    if (content.kind !== 'messages') throw new Error('no conversation');
    return renderConversation(template, content, ends);
  };

  it.each(Object.entries(cases))('%s', (conversation, wanted) => {
    const row = conversations[conversation]!;
    if (wanted.refused !== undefined) {
      expect(() => render(row)).toThrow(wanted.refused);
      return;
    }
    const { examples, leftOut } = render(row);
    expect(examples.map(({ text, trained }) => trained.map(({ start, end }) => text.slice(start, end)))).toEqual(
      wanted.trained,
    );
    expect(new Set(examples.flatMap(({ asks }) => asks))).toEqual(new Set(wanted.asks));
    expect(leftOut.map(({ message }) => message)).toEqual(wanted.leftOut ?? []);
    expect(examples.flatMap(({ withoutStopToken }) => withoutStopToken)).toEqual(wanted.withoutStopToken ?? []);

    const turns = examples.flatMap(turnsOf);
    let before = '';
    for (const [i, { prompt, through }] of (wanted.turns ?? []).entries()) {
      const asked = paste(before, prompt);
      const whole = (before = paste(asked, through));
      if (wanted.other?.includes(i) === true) continue;
      expect(turns[i]!.prompt).toBe(asked);
      // A turn goes to its end token, which some templates leave to the next turn; white space behind it is not the model's.
      if (whole.startsWith(asked))
        expect([whole.slice(0, turns[i]!.text.length), whole.trimEnd()]).toContain(withoutEnd(turns[i]!.text, whole));
    }
  });

  /** A text, without the end token that it has and the other has not. */
  function withoutEnd(text: string, other: string): string {
    const end = stops.find((stop) => text.endsWith(stop));
    return end === undefined || other.startsWith(text) ? text : text.slice(0, -end.length);
  }
});

function paste(before: string, [shared, rest]: Cut): string {
  return before.slice(0, shared) + rest;
}

function turnsOf({ text, prompts, trained }: ConversationExample) {
  return prompts.map((start, i) => ({ prompt: text.slice(0, start), text: text.slice(0, trained[i]!.end) }));
}
