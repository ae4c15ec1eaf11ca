/**
 * Defines the forms that a tokenizer takes between its files and its use, which special-tokens.ts, tokenizer-gguf.ts and
 * tokenizer.ts share.
 */

/** Describes a tokenizer in the hub's terms. Both sources are converted to this. */
export interface TokenizerParts {
  readonly json: TokenizerJson;
  readonly bos: string | null;
  readonly eos: string | null;
  readonly unknown: string | null;
  readonly padding: string | null;
  readonly addBos: boolean;
  readonly addEos: boolean;
  /** Is null where only `bos` and `eos` are added, if any. */
  readonly around: Around | null;
  /** Holds ids beside the roles: the ends of an answer, and what generation uses where the tokenizer names no token for it. */
  readonly generation: { readonly ends: readonly number[]; readonly bos: number | null; readonly padding: number | null };
  readonly chatTemplate: string | null;
}

/** Holds the parts of tokenizer.json that are read here. All other fields are carried along. */
export interface TokenizerJson {
  readonly model: {
    readonly type: string;
    readonly vocab: Readonly<Record<string, number>>;
    readonly merges: readonly (string | readonly [string, string])[];
    readonly byte_fallback?: boolean;
    readonly ignore_merges?: boolean;
    readonly continuing_subword_prefix?: string | null;
    readonly unk_token?: string | null;
  };
  readonly added_tokens: readonly AddedToken[];
  readonly padding?: unknown;
  readonly normalizer: unknown;
  readonly pre_tokenizer: unknown;
  readonly post_processor: unknown;
  readonly decoder: unknown;
}
export interface AddedToken {
  readonly id: number;
  readonly content: string;
  readonly single_word: boolean;
  readonly lstrip: boolean;
  readonly rstrip: boolean;
  readonly normalized: boolean;
  readonly special: boolean;
}

/** Holds the ids before and after every text. */
export interface Around {
  readonly before: readonly number[];
  readonly after: readonly number[];
}

/** Holds the ids of the tokens that have a role, and what stands around a text. */
export interface TokenIds {
  readonly bos: number | null;
  /** Ends a text. Where the tokenizer names no such token, it is the one that ends an answer. */
  readonly eos: number | null;
  readonly unknown: number | null;
  readonly padding: number | null;
  /** Lists the tokens that end an answer: those that the files name, and those that llama.cpp knows by name. */
  readonly stopTokens: readonly number[];
  /** Holds what stands before every plain text; `after` holds what follows it. */
  readonly before: readonly number[];
  readonly after: readonly number[];
  /** Is true where plain text starts with `bos`. Chat templates write theirs themselves. */
  readonly addBos: boolean;
  /** Is true where plain text ends with `eos`. */
  readonly addEos: boolean;
}
