/**
 * Makes small tokenizers in the style of each family, learned from a page of text. Their merges may join letters, digits, signs
 * and line ends, so that a wrong split of the text before merging shows in the tokens.
 */

const page = `The quick brown fox can't jump over 1234567890 lazy dogs; it's 2024, and they'll pay 53.99 EUR for 12 pegs!
Søren Dahl lives in São Paulo, Zoë in Köln. Привет, мир! Это первый тест, и это второй тест. こんにちは世界 こんにちは 👋🏽 مرحبا بالعالم
def double(x):\n    return 2 * x  # twice\n\nfor (let i = 0; i < 100; i++) {\n\tsum += values[i];\n}\n\n\n
{"name": "Søren", "total": 53.99, "tags": ["a", "b"], "items": [{"id": 1, "count": 12}, {"id": 2, "count": 345}]}
1. first\n2. second\n\n3. third    with    spaces\r\nWe'Re HERE, I'VE said: McDonald iPhone HTTPServer x² ½ Ⅻ ١٢٣
User: what is the name of the first item? Assistant: the name is the first item of the list, and the total is 12345.
When the train stopped in the station, the man who was standing there said that the other train would be there in 10 minutes.
`;

/** Pairs to join, the most frequent first, of texts cut into `pieces` of symbols. */
function learnMerges(pieces, count) {
  const words = pieces.map((piece) => [...piece]);
  const known = new Set(words.flat());
  const merges = [];
  while (merges.length < count) {
    const counts = new Map();
    for (const word of words)
      for (let i = 0; i + 1 < word.length; i++) {
        const key = `${word[i]}\0${word[i + 1]}`;
        if (!known.has(word[i] + word[i + 1])) counts.set(key, (counts.get(key) ?? 0) + 1);
      }
    const [best] = [...counts].sort((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1));
    if (best === undefined) break;
    const [left, right] = best[0].split('\0');
    merges.push([left, right]);
    known.add(left + right);
    for (const word of words)
      for (let i = 0; i + 1 < word.length; i++) if (word[i] === left && word[i + 1] === right) word.splice(i, 2, left + right);
  }
  return merges;
}

/** White space belongs to what follows it; nothing else is cut. */
const chunks = page.match(/\s*\S+|\s+$/gu) ?? [];

/** GPT-2's printable stand-in for each byte. */
const byteSymbols = (() => {
  const printable = (byte) => (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
  let next = 256;
  return Array.from({ length: 256 }, (_, byte) => String.fromCodePoint(printable(byte) ? byte : next++));
})();

const contractions = "(?i:'s|'t|'re|'ve|'m|'ll|'d)";
const words = (digits) =>
  `${contractions}|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|${digits}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+`;
const upper = '[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]';
const lower = '[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]';
const cased =
  `[^\\r\\n\\p{L}\\p{N}]?${upper}*${lower}+|[^\\r\\n\\p{L}\\p{N}]?${upper}+${lower}*|\\p{N}` +
  '| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+';

const bytes = (useRegex) => ({ type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: useRegex });
const split = (pattern) => ({
  type: 'Sequence',
  pretokenizers: [
    { type: 'Split', pattern: { Regex: pattern }, behavior: 'Isolated', invert: false },
    { ...bytes(false), trim_offsets: false },
  ],
});
const digits = { type: 'Sequence', pretokenizers: [{ type: 'Digits', individual_digits: true }, bytes(true)] };
const nfc = { type: 'NFC' };

/** How each style splits text, and what llama.cpp calls it. */
const byteLevelStyles = {
  gpt2: { pre_tokenizer: bytes(true) },
  neox: { pre_tokenizer: bytes(true), normalizer: nfc },
  digits: { pre_tokenizer: digits },
  cohere: { pre_tokenizer: digits, normalizer: nfc },
  llama3: { pre_tokenizer: split(words('\\p{N}{1,3}')), ignore_merges: true, begin: '<|begin_of_text|>' },
  cl100k: { pre_tokenizer: split(words('\\p{N}{1,3}')) },
  qwen2: { pre_tokenizer: split(words('\\p{N}')), normalizer: nfc },
  stablelm2: { pre_tokenizer: split(words('\\p{N}')) },
  tekken: { pre_tokenizer: split(cased), ignore_merges: true, begin: '<s>' },
};

function byteLevel(style) {
  const { pre_tokenizer, normalizer = null, ignore_merges = false, begin = null } = byteLevelStyles[style];
  const merges = learnMerges(
    chunks.map((chunk) => [...Buffer.from(chunk)].map((byte) => byteSymbols[byte])),
    420,
  );
  const pieces = [...byteSymbols, ...merges.map(([left, right]) => left + right)];
  const specials = ['<|endoftext|>', '<|im_start|>', '<|im_end|>', ...(begin === null ? [] : [begin])];
  return {
    model: {
      ...{ type: 'BPE', dropout: null, unk_token: null, continuing_subword_prefix: null, end_of_word_suffix: null },
      ...{ fuse_unk: false, byte_fallback: false, ignore_merges },
      vocab: Object.fromEntries(pieces.map((piece, id) => [piece, id])),
      merges,
    },
    specials: specials.map((content, i) => ({ id: pieces.length + i, content })),
    ...{ normalizer, pre_tokenizer, decoder: { ...bytes(true), add_prefix_space: true } },
    ...{ begin, end: begin === null ? '<|endoftext|>' : '<|im_end|>', unknown: null },
    template: chatml,
  };
}

const line = '\u2581';

/**
 * SentencePiece's BPE writes a space as ▁, and what is not in the vocabulary as bytes.
 * @param {{ specials: string[], begin: string, end: string, unknown: string, template: string, normalizer: object,
 *   pre_tokenizer?: object | null, strip?: boolean }} style
 */
function sentencePiece({ specials, begin, end, unknown, template, normalizer, pre_tokenizer = null, strip = false }) {
  const learned = learnMerges(
    chunks.map((chunk) => [...chunk.replaceAll(' ', line)]),
    420,
  ).map(([left, right]) => left + right);
  const characters = [...new Set(page.replaceAll(' ', line))].filter((character) => !/[\r\n\t½Ⅻ²]/.test(character));
  const byteNames = Array.from({ length: 256 }, (_, byte) => `<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`);
  const whole = learned.filter((piece) => !/[\r\n\t½Ⅻ²]/.test(piece));
  const pieces = [...specials, ...byteNames, ...whole, ...characters];
  const vocab = Object.fromEntries(pieces.map((piece, id) => [piece, id]));
  // Every way to cut a piece in two, in the order of the pieces.
  const merges = whole.flatMap((piece) => {
    const symbols = [...piece];
    return symbols.slice(1).flatMap((_, i) => {
      const pair = [symbols.slice(0, i + 1).join(''), symbols.slice(i + 1).join('')];
      return pair.every((part) => part in vocab) ? [pair] : [];
    });
  });
  return {
    model: {
      ...{ type: 'BPE', dropout: null, unk_token: unknown, continuing_subword_prefix: null, end_of_word_suffix: null },
      ...{ fuse_unk: true, byte_fallback: true, ignore_merges: false },
      ...{ vocab, merges },
    },
    specials: specials.map((content, id) => ({ id, content })),
    ...{ normalizer, pre_tokenizer, begin, end, unknown, template },
    decoder: {
      type: 'Sequence',
      decoders: [
        { type: 'Replace', pattern: { String: line }, content: ' ' },
        { type: 'ByteFallback' },
        { type: 'Fuse' },
        ...(strip ? [{ type: 'Strip', content: ' ', start: 1, stop: 0 }] : []),
      ],
    },
  };
}

const replace = { type: 'Replace', pattern: { String: ' ' }, content: line };
const prepend = { type: 'Sequence', normalizers: [{ type: 'Prepend', prepend: line }, replace] };

const chatml =
  "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}{% endfor %}" +
  "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";
const turns =
  "{{ bos_token }}{% for message in messages %}{{ '<start_of_turn>' + ('model' if message['role'] == 'assistant' else message['role']) + '\\n' + message['content'] | trim + '<end_of_turn>\\n' }}{% endfor %}" +
  "{% if add_generation_prompt %}{{ '<start_of_turn>model\\n' }}{% endif %}";
const instructions =
  "{{ bos_token }}{% for message in messages %}{% if message['role'] == 'user' %}{{ '[INST] ' + message['content'] + ' [/INST]' }}" +
  "{% else %}{{ ' ' + message['content'] + eos_token }}{% endif %}{% endfor %}";

const makers = {
  ...Object.fromEntries(Object.keys(byteLevelStyles).map((style) => [style, () => byteLevel(style)])),
  /** Llama 2 and Phi 3: every text begins with ▁. */
  sentencepiece: () =>
    sentencePiece({
      ...{ specials: ['<unk>', '<s>', '</s>'], begin: '<s>', end: '</s>', unknown: '<unk>', template: instructions },
      ...{ normalizer: prepend, strip: true },
    }),
  gemma: () =>
    sentencePiece({
      specials: ['<pad>', '<eos>', '<bos>', '<unk>', '<start_of_turn>', '<end_of_turn>'],
      ...{ begin: '<bos>', end: '<eos>', unknown: '<unk>', template: turns, normalizer: replace },
      pre_tokenizer: { type: 'Split', pattern: { String: ' ' }, behavior: 'MergedWithPrevious', invert: false },
    }),
};

/** Returns the files of a hub folder that make a tokenizer, and its size. */
export function makeTokenizer(style) {
  const { model, specials, normalizer, pre_tokenizer, decoder, begin, end, unknown, template } = makers[style]();
  const flags = { single_word: false, lstrip: false, rstrip: false, normalized: false, special: true };
  const idOf = (token) => specials.find(({ content }) => content === token).id;
  const special = (token) => ({ SpecialToken: { id: token, type_id: 0 } });
  const text = (id, type) => ({ Sequence: { id, type_id: type } });
  const post_processor = begin && {
    type: 'TemplateProcessing',
    single: [special(begin), text('A', 0)],
    pair: [special(begin), text('A', 0), text('B', 1)],
    special_tokens: { [begin]: { id: begin, ids: [idOf(begin)], tokens: [begin] } },
  };
  const json = { version: '1.0', truncation: null, padding: null, normalizer, pre_tokenizer, post_processor, decoder, model };
  const named = {
    ...(begin === null ? {} : { bos_token: begin }),
    eos_token: end,
    ...(unknown === null ? {} : { unk_token: unknown }),
  };
  return {
    size: Math.max(...Object.values(model.vocab), ...specials.map(({ id }) => id)) + 1,
    begin: begin === null ? null : idOf(begin),
    end: idOf(end),
    files: {
      'tokenizer.json': { ...json, added_tokens: specials.map((token) => ({ ...token, ...flags })) },
      'tokenizer_config.json': {
        ...{ tokenizer_class: 'PreTrainedTokenizerFast', clean_up_tokenization_spaces: false, model_max_length: 512 },
        ...{ ...named, chat_template: template },
      },
    },
  };
}
