/** Lists the pre-tokenizers of byte-level BPE that a GGUF names in `tokenizer.ggml.pre`, in the notation of tokenizer.json. */
import type { GgufValue } from '../formats/gguf.ts';
import { Problem } from '../problem.ts';

/** Says how text becomes pieces before merging and text again afterwards, in the notation of tokenizer.json. */
export interface SplitRule {
  readonly preTokenizer: unknown;
  readonly normalizer: unknown;
  readonly decoder: unknown;
  readonly ignoreMerges: boolean;
  /** Gives `add_bos_token` where the file does not. */
  readonly addBos: boolean;
}

const byteLevelDecoder = { type: 'ByteLevel', add_prefix_space: true, trim_offsets: true, use_regex: true };
const byteLevel = (useRegex: boolean) => ({
  type: 'ByteLevel',
  add_prefix_space: false,
  trim_offsets: true,
  use_regex: useRegex,
});
const isolated = (pattern: string) => ({ type: 'Split', pattern: { Regex: pattern }, behavior: 'Isolated', invert: false });
/** Splits at each pattern in turn, within the pieces that the previous one left. */
const splitThenBytes = (...patterns: readonly string[]) => ({
  type: 'Sequence',
  pretokenizers: [...patterns.map(isolated), byteLevel(false)],
});

/** Splits off every digit, then applies GPT-2's pattern. */
const digitsThenBytes = {
  type: 'Sequence',
  pretokenizers: [{ type: 'Digits', individual_digits: true }, byteLevel(true)],
};
const contractions = "(?i:'s|'t|'re|'ve|'m|'ll|'d)";
/**
 * Matches words with one sign before them, numbers by up to `digits` digits, signs with line ends, and white space (tiktoken's
 * cl100k).
 */
const wordsAndNumbers = (digits: string) =>
  `${contractions}|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|${digits}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+`;
const upper = '[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]';
const lower = '[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]';
/** Matches words that also end where capitals begin (tiktoken's o200k). */
const wordsByCase = (ending: string, digits: string) =>
  `[^\\r\\n\\p{L}\\p{N}]?${upper}*${lower}+${ending}|[^\\r\\n\\p{L}\\p{N}]?${upper}+${lower}*${ending}|${digits}` +
  '| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+';

export const nfc = { type: 'NFC' };
const plainBytes = { preTokenizer: byteLevel(true), normalizer: null, ignoreMerges: false, addBos: false };
const byDigits = { ...plainBytes, preTokenizer: digitsThenBytes };

/** Matches lines, words, signs, Chinese and Korean, and digits, each with white space before it (DeepSeek's first models). */
const linesThenWords = (words: string, signs: string, ...more: readonly string[]) => [
  '[\r\n]',
  `\\s?${words}+`,
  `\\s?${signs}+`,
  ...more,
  '[\u4e00-\u9fa5\u0800-\u4e00\uac00-\ud7ff]+',
];
/** Lists the letters of scripts that have capitals, as DeepSeek does. */
const casedLetters =
  '[A-Za-z\u00b5\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u01ba\u01bc-\u01bf\u01c4-\u0293\u0295-\u02af\u0370-\u0373\u0376' +
  '\u0377\u037b-\u037d\u037f\u0386\u0388-\u038a\u038c\u038e-\u03a1\u03a3-\u03f5\u03f7-\u0481\u048a-\u052f' +
  '\u0531-\u0556\u10a0-\u10c5\u13a0-\u13f5\u13f8-\u13fd\u1c90-\u1cba\u1cbd-\u1cbf\u1d00-\u1d2b\u1d6b-\u1d77' +
  '\u1d79-\u1d9a\u1e00-\u1f15\u1f18-\u1f1d\u1f20-\u1f45\u1f48-\u1f4d\u1f50-\u1f57\u1f59\u1f5b\u1f5d\u1f5f-\u1f7d' +
  '\u1f80-\u1fb4\u1fb6-\u1fbc\u1fbe\u1fc2-\u1fc4\u1fc6-\u1fcc\u1fd0-\u1fd3\u1fd6-\u1fdb\u1fe0-\u1fec\u1ff2-\u1ff4' +
  '\u1ff6-\u1ffc\u2102\u2107\u210a-\u2113\u2115\u2119-\u211d\u2124\u2126\u2128\u212a-\u212d\u212f-\u2134\u2139' +
  '\u213c-\u213f\u2145-\u2149\u214e\u2183\u2184\u2c00-\u2c7b\u2c7e-\u2ce4\u2ceb-\u2cee\u2cf2\u2cf3\ua640-\ua66d' +
  '\ua680-\ua69b\ua722-\ua76f\ua771-\ua787\ua78b-\ua78e\uab70-\uabbf\ufb00-\ufb06\ufb13-\ufb17\uff21-\uff3a' +
  '\uff41-\uff5a\u{10400}-\u{1044f}\u{104b0}-\u{104d3}\u{104d8}-\u{104fb}\u{10c80}-\u{10cb2}\u{10cc0}-\u{10cf2}' +
  '\u{118a0}-\u{118df}\u{1e900}-\u{1e943}]';
const asianRun = '[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+';
/** Matches a sign before Latin letters, words, signs with `lineEnds`, and white space (DeepSeek V3). */
const signsAndWords = (lineEnds: string) =>
  '[!"#$%&\'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+' +
  `| ?[\\p{P}\\p{S}]+${lineEnds}|\\s+(?!\\S)|\\s+`;
/** Matches everything between white space and the full stops, commas and question marks of several scripts (BLOOM). */
const betweenStops = ' ?[^(\\s|[.,!?…。，、।۔،])]+';

/** Is a rule without its decoder, which all byte-level tokenizers share. */
export type PreTokenizer = Omit<SplitRule, 'decoder'>;
const splits = (...patterns: readonly string[]): PreTokenizer => ({ ...plainBytes, preTokenizer: splitThenBytes(...patterns) });
const cl100k = splits(wordsAndNumbers('\\p{N}{1,3}'));
const singleDigits = splits(wordsAndNumbers('\\p{N}'));
const o200k = splits(wordsByCase(`${contractions}?`, '\\p{N}{1,3}'));
const llama3: PreTokenizer = { ...cl100k, ignoreMerges: true, addBos: true };
const deepseek3 = splits('\\p{N}{1,3}', asianRun, signsAndWords('[\\r\\n]*|\\s*[\\r\\n]+'));
const bloom = splits(betweenStops);

/**
 * Lists the pre-tokenizers of byte-level BPE that we know exactly, by all their names. They come from llama.cpp
 * (llama-vocab.cpp) and the tokenizer.json of the models. A file is written with the first name that fits.
 */
const preTokenizerNames: readonly (readonly [names: string, rule: PreTokenizer])[] = [
  ['gpt-2', plainBytes],
  ['olmo', { ...plainBytes, normalizer: nfc }],
  ['phi-2 mpt jais granite-docling gigachat a.x-4.0 mellum exaone4 trillion', plainBytes],
  ['smollm starcoder refact codeshell', byDigits],
  ['exaone command-r', { ...byDigits, normalizer: nfc }],
  ['minerva-7b mellum2', byDigits],
  ['llama-bpe llama3 llama-v3 falcon3 falcon-h1 pixtral midm-2.0 lfm2', llama3],
  ['dbrx smaug-bpe glm4 chatglm-bpe', cl100k],
  ['qwen2', { ...singleDigits, normalizer: nfc }],
  ['stablelm2', singleDigits],
  ['deepseek-r1-qwen kormo f2llmv2', { ...singleDigits, normalizer: nfc }],
  ['megrez hunyuan solar-open grok-2', singleDigits],
  ['tekken', { ...splits(wordsByCase('', '\\p{N}')), ignoreMerges: true, addBos: true }],
  ['gpt-4o llama4 kanana2 talkie minimax-m2', o200k],
  // Digits are grouped in threes from the right.
  ['tiny_aya cohere2moe', splits('\\d{1,3}(?=(?:\\d{3})*\\b)', wordsByCase(`${contractions}?`, '\\p{N}{1,3}'))],
  [
    'qwen35',
    {
      ...splits(
        `${contractions}|[^\\r\\n\\p{L}\\p{N}]?[\\p{L}\\p{M}]+|\\p{N}| ?[^\\s\\p{L}\\p{M}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+`,
      ),
      normalizer: nfc,
    },
  ],
  ['minicpm5', { ...splits('\\p{N}{1,3}', wordsAndNumbers('\\p{N}+')), ignoreMerges: true }],
  ['ufakzeka', splits(wordsAndNumbers('\\p{N}').slice(contractions.length + 1))],
  ['laguna', splits('[^\\n]+|[\\n]+', wordsAndNumbers('\\p{N}'))],
  [
    'seed-coder',
    splits(
      `${contractions}|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1}| ?[^\\s\\p{L}\\p{N}\\r\\n]+|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+`,
    ),
  ],
  [
    'bailingmoe bailingmoe2 llada-moe',
    splits(
      "'(?i:[sdmt]|ll|ve|re)|[^\\r\\n\\p{L}\\p{N}]?+\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]++[\\r\\n]*|\\s*[\\r\\n]|\\s+(?!\\S)|\\s+",
    ),
  ],
  [
    'exaone-moe',
    splits(
      `${contractions}|[^\\r\\n\\p{L}\\p{N}]?(?:\\p{L}\\p{M}*(?: \\p{L}\\p{M}*)*)+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]?|\\s*[\\r\\n]|\\s+(?!\\S)|\\s+`,
    ),
  ],
  [
    'jais-2',
    // White space is split into powers of two.
    splits(
      wordsAndNumbers('\\p{N}{1,3}').replace(
        '\\s+(?!\\S)|\\s+',
        [...[512, 256, 128, 64, 32, 16, 8, 4].map((count) => `\\s{${count}}(?!\\S)`), '\\s{1,2}(?!\\S)', '\\s{1}'].join('|'),
      ),
    ),
  ],
  ['deepseek-v3 hunyuan-dense joyai-llm hy_v4', deepseek3],
  ['spark2_5', splits('\\p{N}{1,3}', asianRun, signsAndWords('|[\\r\\n]'), '\\p{N}')],
  ['deepseek-coder', splits(...linesThenWords('\\p{L}', '\\p{P}'), '\\p{N}')],
  [
    'deepseek-llm',
    splits(...linesThenWords(casedLetters, '[!-/:-~\uff01-\uff0f\uff1a-\uff5e\u2018-\u201f\u3000-\u3002]', '\\s+$'), '\\p{N}+'),
  ],
  // It splits off no words, because its merges cross them. Digits are grouped in threes from the right.
  ['superbpe', splits('\\p{N}+', '(?=(\\d{3})+(?!\\d))')],
  ['bloom poro-chat gpt3-finnish', bloom],
  ['viking', splits(betweenStops, '\\p{N}')],
];

/** Holds the pre-tokenizers by each of their names. */
export const preTokenizers: Readonly<Record<string, PreTokenizer>> = Object.fromEntries(
  preTokenizerNames.flatMap(([names, rule]) => names.split(' ').map((name) => [name, rule])),
);

/** Returns the rule that `tokenizer.ggml.pre` names; an unknown name is refused. */
export function byteLevelRule(pre: GgufValue['value'] | undefined): SplitRule {
  const rule = typeof pre === 'string' && Object.hasOwn(preTokenizers, pre) ? preTokenizers[pre] : undefined;
  if (rule !== undefined) return { ...rule, decoder: byteLevelDecoder };
  throw new Problem(
    'tokenizer-unsupported',
    `The GGUF file splits text by '${String(pre ?? 'default')}' (tokenizer.ggml.pre); known are ${Object.keys(preTokenizers).join(', ')}.`,
    'Use the model as a hub folder with its tokenizer.json.',
  );
}
