/** The forms that a tokenizer takes between its files and its use: what special-tokens.ts, tokenizer-gguf.ts and tokenizer.ts share. */

/** What a tokenizer is, in the hub's words: both sources are brought to this. */
export interface TokenizerParts {
  readonly json: TokenizerJson;
  readonly bos: string | null;
  readonly eos: string | null;
  readonly unknown: string | null;
  readonly padding: string | null;
  readonly addBos: boolean;
  readonly addEos: boolean;
  /** null: `bos` and `eos` alone, where they are added. */
  readonly around: Around | null;
  /** Ids beside the roles: ends of an answer, and what generation takes where the tokenizer names no token for it. */
  readonly generation: { readonly ends: readonly number[]; readonly bos: number | null; readonly padding: number | null };
  readonly chatTemplate: string | null;
}

/** The parts of tokenizer.json that we read; the rest is carried along. */
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

/** Ids before and after every text. */
export interface Around {
  readonly before: readonly number[];
  readonly after: readonly number[];
}

/** Ids of the tokens that have a role, and what stands around a text. */
export interface TokenIds {
  readonly bos: number | null;
  /** What ends a text; where the tokenizer names none, what ends an answer. */
  readonly eos: number | null;
  readonly unknown: number | null;
  readonly padding: number | null;
  /** Any of these ends an answer: those that the files name, and those that llama.cpp knows by name. */
  readonly stopTokens: readonly number[];
  /** What stands before and after every plain text. */
  readonly before: readonly number[];
  readonly after: readonly number[];
  /** Plain text starts with `bos`; chat templates write theirs. */
  readonly addBos: boolean;
  /** Plain text ends with `eos`. */
  readonly addEos: boolean;
}
