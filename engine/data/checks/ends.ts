/** Checks the end of turns. */
import { ignored } from '../../labels.ts';
import type { JudgingTokenizer, RowCheck, SetCheck } from './check.ts';
import { FoundRows } from './found-rows.ts';

function stopTexts(tokenizer: JudgingTokenizer | null): string[] {
  return [...(tokenizer?.addedTokens ?? [])].filter(([id]) => tokenizer?.stopTokens.includes(id)).map(([, text]) => text);
}

/** Finds turns from which a model does not learn to stop. */
export const missingEnd: RowCheck = {
  ...{ looksAt: 'rows', name: 'missing-end', severity: 'warning', fix: { kind: 'exclude' } },
  why: 'A model that never sees an answer end goes on talking.',
  begin: (tokenizer) => {
    const found = new FoundRows();
    let turns = 0;
    let isText = false;
    return {
      add(examples) {
        const withoutStopToken = examples.flatMap((example) => example.withoutStopToken);
        if (withoutStopToken.length > 0) found.add(examples[0]!.index);
        turns += withoutStopToken.length;
        if (withoutStopToken.includes(0)) isText = true;
      },
      finding() {
        if (turns === 0) return null;
        const stops = stopTexts(tokenizer);
        const known = stops.length === 0 ? 'The model names no such token.' : `Known are ${stops.join(', ')}.`;
        const what = isText ? 'text' : 'turn';
        return {
          found,
          title: `${turns} ${what}${turns === 1 ? ' does' : 's do'} not end in a token that ends an answer`,
          detail: `${isText ? 'Nothing writes one' : 'The chat template writes none'} behind them, so the model does not learn to stop. ${known}`,
        };
      },
    };
  },
};

/**
 * Finds rows of token ids whose labels leave out the token that ends the answer. Programs that mask padding by its id produce
 * them.
 */
export const untrainedEnd: RowCheck = {
  ...{ looksAt: 'rows', name: 'untrained-end', severity: 'warning', fix: { kind: 'exclude' } },
  why: 'A model that is not trained on the token that ends an answer goes on talking.',
  begin: (tokenizer) => {
    const found = new FoundRows();
    const stops = new Set(tokenizer?.stopTokens);
    const isEndLeft = (inputIds: Int32Array, labels: Int32Array): boolean => {
      for (let t = 1; t < labels.length; t++)
        if (labels[t] === ignored && labels[t - 1] !== ignored && stops.has(inputIds[t]!) && !stops.has(inputIds[t - 1]!))
          return true;
      return false;
    };
    return {
      add(examples) {
        if (examples.some(({ inputIds, labels }) => isEndLeft(inputIds, labels))) found.add(examples[0]!.index);
      },
      finding: () =>
        found.count === 0
          ? null
          : {
              found,
              title: `${found.counted} with an answer whose end is not trained`,
              detail: `Its labels stop before ${stopTexts(tokenizer).join(' or ') || 'the token that ends it'}. Make them again with that token trained.`,
            },
    };
  },
};

export const paddingEndsTurns: SetCheck = {
  ...{ looksAt: 'set', name: 'padding-ends-turns', severity: 'note', fix: null },
  why: 'Programs that leave padding out of the loss by its id then leave out the end of every answer, and the model never stops.',
  ask: ({ tokenizer }) => {
    const padding = tokenizer?.padding ?? null;
    if (tokenizer === null || padding === null || !tokenizer.stopTokens.includes(padding)) return null;
    return {
      title: `${tokenizer.addedTokens.get(padding) ?? `Token ${padding}`} ends an answer and is the padding too`,
      detail:
        'Here the end is trained all the same: padding is known by its place. Keep it in mind for rows of token ids from elsewhere.',
    };
  },
};
