/** Finds the text of special tokens in messages. The model reads it as if the chat template had written the tokens. */
import type { Tokenizer } from './tokenizer.ts';

/** These tags may stand in the content of an answer with a thought, although some tokenizers declare them special. */
const thoughtTags: ReadonlySet<string> = new Set(['<think>', '</think>']);

export class SpecialTokensInText {
  /** Holds the texts that the model reads as the chat template's own. */
  readonly #texts: readonly string[];

  constructor(tokenizer: Pick<Tokenizer, 'addedTokens' | 'stopTokens' | 'isSpecial'>) {
    this.#texts = [...tokenizer.addedTokens]
      .filter(([id, text]) => (tokenizer.isSpecial(id) || tokenizer.stopTokens.includes(id)) && !thoughtTags.has(text))
      .map(([, text]) => text);
  }

  /** Returns the special tokens that occur in texts, in the order of the tokenizer. */
  in(contents: readonly string[]): readonly string[] {
    return this.#texts.filter((text) => contents.some((content) => content.includes(text)));
  }
}
