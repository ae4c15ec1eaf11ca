/**
 * Lists the tokens that llama.cpp recognizes by name alone, whatever a file says of them (llama-vocab.cpp,
 * llama_vocab::impl::load).
 */

/** These tokens end an answer. */
const endNames = [
  ...['<|eot_id|>', '<|im_end|>', '<|end|>', '<|return|>', '<|call|>', '<|flush|>', '<|calls|>', '<end_of_turn>'],
  ...['<|endoftext|>', '</s>', '<|eom_id|>', '<EOT>', '_<EOT>', '[EOT]', '[EOS]', '<|end_of_text|>', '<end_of_utterance>'],
  ...['<eos>', '<turn|>', '<|tool_response>', '<\uFF5Cend\u2581of\u2581sentence\uFF5C>', '[e~['],
];

/**
 * Lists the roles of fill-in-the-middle tokens: the names that have one, and the keys of `tokenizer.ggml` that can name a token
 * for it instead.
 */
const gapRoles: readonly { readonly keys: readonly string[]; readonly names: readonly string[]; readonly ends: boolean }[] = [
  {
    keys: ['fim_pre_token_id', 'prefix_token_id'],
    names: [
      ...['<|fim_prefix|>', '<fim-prefix>', '<fim_prefix>', '<\uFF5Cfim\u2581begin\uFF5C>', '<PRE>', '\u2581<PRE>'],
      ...['<|code_prefix|>', '<|prefix|>'],
    ],
    ends: false,
  },
  {
    keys: ['fim_suf_token_id', 'suffix_token_id'],
    names: [
      ...['<|fim_suffix|>', '<fim-suffix>', '<fim_suffix>', '<\uFF5Cfim\u2581hole\uFF5C>', '<SUF>', '\u2581<SUF>'],
      ...['<|code_suffix|>', '<|suffix|>'],
    ],
    ends: false,
  },
  {
    keys: ['fim_mid_token_id', 'middle_token_id'],
    names: [
      ...['<|fim_middle|>', '<fim-middle>', '<fim_middle>', '<\uFF5Cfim\u2581end\uFF5C>', '<MID>', '\u2581<MID>'],
      ...['<|code_middle|>', '<|middle|>'],
    ],
    ends: false,
  },
  { keys: ['fim_pad_token_id'], names: ['<|fim_pad|>', '<fim-pad>', '<fim_pad>', '<PAD>', '[PAD]'], ends: true },
  {
    keys: ['fim_rep_token_id'],
    names: ['<|fim_repo|>', '<|repo_name|>', '<fim-repo>', '<REPO>', '<reponame>'],
    ends: true,
  },
  { keys: ['fim_sep_token_id'], names: ['<|file_sep|>'], ends: true },
];

/** These tokens are always part of the visible text, so that a program can read them. */
const shownNames = ['<|channel|>', '<|message|>', '<|start|>', '<|constrain|>'];

export interface NamedTokens {
  /** Lists the tokens that end an answer. */
  readonly ends: readonly number[];
  /** Lists the tokens that are matched whole in a text and not shown. */
  readonly control: readonly number[];
  /** Lists the tokens that are matched whole and shown. */
  readonly shown: readonly number[];
  /** Lists the tokens that are ordinary pieces of text, whatever the file says. */
  readonly normal: readonly number[];
}

/**
 * Returns the tokens that are recognized by name. `idOf` returns the id of a token of the vocabulary; `fieldId` returns the id
 * that a key of `tokenizer.ggml` names, for a GGUF.
 */
export function namedTokens(
  idOf: (name: string) => number | null,
  fieldId: (key: string) => number | null = () => null,
): NamedTokens {
  const idsOf = (names: readonly string[]): number[] => names.flatMap((name) => idOf(name) ?? []);
  const has = (name: string): boolean => idOf(name) !== null;
  const ends = new Set(idsOf(endNames));
  const control = new Set(ends);
  for (const role of gapRoles) {
    const given = role.keys.flatMap((key) => fieldId(key) ?? []);
    const found = given.length > 0 ? given : idsOf(role.names);
    if (given.length === 0) found.forEach((id) => control.add(id));
    if (role.ends) found.forEach((id) => ends.add(id));
  }
  const shown = new Set(idsOf(shownNames));
  const normal = new Set<number>();
  // In gpt-oss and Solar, <|end|> ends a part of an answer, not the answer.
  if (has('<|end|>') && (has('<|call|>') || has('<|calls|>')) && (has('<|return|>') || has('<|flush|>')))
    shown.add(idOf('<|end|>')!);
  // Gemma 4 has </s> as a piece of HTML.
  if (has('<|tool_response>') && has('</s>')) normal.add(idOf('</s>')!);
  const stays = (id: number): boolean => !shown.has(id) && !normal.has(id);
  return {
    ends: [...ends].filter(stays),
    control: [...control].filter(stays),
    shown: [...shown],
    normal: [...normal],
  };
}
