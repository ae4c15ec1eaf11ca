/** Checks how messages and the chat template fit together. */
import type { RowCheck } from './check.ts';
import { FoundRows } from './found-rows.ts';

const maxTokensNamed = 8;
/** Limits how many different prompts are listed. More come from templates that write something of each row into the prompt. */
const maxAsks = 4;

/** Finds rows with content that the model never sees. */
export const leftOut: RowCheck = {
  ...{ looksAt: 'rows', name: 'left-out', severity: 'warning', fix: { kind: 'exclude' } },
  why: 'The model does not see what they say.',
  begin: () => {
    const found = new FoundRows();
    const roles = new Set<string>();
    let first: { readonly message: number; readonly line: number } | null = null;
    return {
      add([example]) {
        const { index, line, leftOut } = example!;
        if (leftOut.length === 0) return;
        found.add(index);
        for (const { role } of leftOut) roles.add(role);
        first ??= { message: leftOut[0]!.message, line };
      },
      finding: () =>
        first === null
          ? null
          : {
              found,
              title: `${found.counted} with messages that the chat template leaves out, whole or in part`,
              detail: `Left out are messages of the role ${[...roles].join(', ')}; the first is message ${first.message} of line ${first.line}.`,
            },
    };
  },
};

/** Finds rows whose messages contain the text of special tokens. */
export const specialTokens: RowCheck = {
  ...{ looksAt: 'rows', name: 'special-tokens', severity: 'warning', fix: { kind: 'replace' } },
  why: "The model reads them as the chat template's own: they end turns or begin new ones.",
  begin: () => {
    const found = new FoundRows();
    const tokens = new Set<string>();
    let first = 0;
    return {
      add([example]) {
        const { index, line, specialTokensInText } = example!;
        if (specialTokensInText.length === 0) return;
        if (found.count === 0) first = line;
        found.add(index);
        for (const text of specialTokensInText) tokens.add(text);
      },
      finding: () => {
        const named = [...tokens];
        return found.count === 0
          ? null
          : {
              found,
              fix: { kind: 'replace', find: named[0]! },
              title: `${found.counted} with special tokens in what messages say`,
              detail: `Found: ${named.slice(0, maxTokensNamed).join(', ')}${named.length > maxTokensNamed ? ' and more' : ''}, the first in line ${first}. Remove them unless that is meant.`,
            };
      },
    };
  },
};

/** Lists the generation prompts, so that a person sees whether answers are asked for with a thought. */
export const asks: RowCheck = {
  ...{ looksAt: 'rows', name: 'asks', severity: 'note', fix: null },
  why: 'The model is asked in the same words later, and answers best where it was trained behind just these.',
  begin: () => {
    const turns = new Map<string, number>();
    return {
      add(examples) {
        for (const ask of examples.flatMap((example) => example.asks))
          if (turns.has(ask) || turns.size < maxAsks) turns.set(ask, (turns.get(ask) ?? 0) + 1);
      },
      finding() {
        if (turns.size === 0) return null;
        const named = [...turns].map(([ask, count]) => `${JSON.stringify(ask)} (${count} turn${count === 1 ? '' : 's'})`);
        return {
          severity: 'passed',
          title: 'What asks for an answer is not trained',
          detail: `The chat template asks with ${named.join(', ')}; trained is what follows, to the token that ends it. Whether it asks for a thought is the setting 'thinking'.`,
        };
      },
    };
  },
};

/** Finds rows that are several examples, or would be if not only the last turns were wanted. */
export const unrolled: RowCheck = {
  ...{ looksAt: 'rows', name: 'unrolled', severity: 'note', fix: null },
  why: 'A turn that is trained behind another history than the model sees later is learned for a case that never comes.',
  begin: () => {
    const found = new FoundRows();
    let made = 0;
    let without = 0;
    return {
      add(examples) {
        const { index, skippedTurns } = examples[0]!;
        if (examples.length === 1 && skippedTurns === 0) return;
        found.add(index);
        made += examples.length;
        without += skippedTurns;
      },
      finding: () =>
        found.count === 0
          ? null
          : {
              ...{ found, severity: 'passed' },
              title: `${found.counted} with turns that the chat template rewrites: ${made} example${made === 1 ? '' : 's'}`,
              detail:
                without === 0
                  ? `Each such turn is trained as the last of an example of its own, behind the history as the model will see it. The setting 'unroll' takes the last alone, 'turnWeight' says how much they count.`
                  : `Only the last is trained: ${without} earlier turn${without === 1 ? '' : 's'} would be examples of their own, and are not trained. The setting 'unroll' takes them all.`,
            },
    };
  },
};

export const withoutMedia: RowCheck = {
  ...{ looksAt: 'rows', name: 'without-media', severity: 'warning', fix: { kind: 'exclude' } },
  why: 'An answer about one teaches the model to make things up.',
  begin: () => {
    const found = new FoundRows();
    let media = 0;
    return {
      add([example]) {
        const { index, dropped } = example!;
        if (dropped > 0) found.add(index);
        media += dropped;
      },
      finding: () =>
        found.count === 0
          ? null
          : {
              found,
              title: `${found.counted} without their pictures and sounds`,
              detail: `Dropped are ${media}, as was chosen (media).`,
            },
    };
  },
};
