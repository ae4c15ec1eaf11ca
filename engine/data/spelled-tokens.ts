/** Finds special tokens that messages spell: the model reads them as if the chat template had written them. */
import type { Tokenizer } from './tokenizer.ts';

/** Some tokenizers call them special; an answer with a thought has them in its content. */
const thoughtTags: ReadonlySet<string> = new Set(['<think>', '</think>']);

export class SpelledTokens {
  /** Texts that the model reads as the chat template's own. */
  readonly #texts: readonly string[];

  constructor(tokenizer: Pick<Tokenizer, 'addedTokens' | 'stopTokens' | 'isSpecial'>) {
    this.#texts = [...tokenizer.addedTokens]
      .filter(([id, text]) => (tokenizer.isSpecial(id) || tokenizer.stopTokens.includes(id)) && !thoughtTags.has(text))
      .map(([, text]) => text);
  }

  /** Returns the special tokens that stand in texts, in the order of the tokenizer. */
  in(contents: readonly string[]): readonly string[] {
    return this.#texts.filter((text) => contents.some((content) => content.includes(text)));
  }
}
