import { describe, expect, test } from 'vitest';
import { readGguf } from '../formats/gguf.ts';
import { reportOfRows } from '../testing/report-of-rows.ts';
import { encodeCompletion, encodeDocument } from './plain-text.ts';
import { openTokenizer, type Tokenizer } from './tokenizer.ts';

const byteLevel = openTokenizer({
  kind: 'gguf',
  metadata: readGguf('resources/models/SmolLM2-135M-Instruct.Q4_1.gguf').metadata,
});

/** A small SentencePiece vocabulary as Llama's: words with and without their space, letters, and bytes for the rest. */
function sentencePiece(
  parts: { readonly normalizer: unknown; readonly pre_tokenizer: unknown },
  { adds = true }: { readonly adds?: boolean } = {},
): Tokenizer {
  const words = ['Answer', 'yes', 'no'];
  const merges: [string, string][] = [];
  const vocab: Record<string, number> = {};
  const add = (piece: string) => (vocab[piece] ??= Object.keys(vocab).length);
  for (const piece of ['<unk>', '<s>', '</s>', '▁']) add(piece);
  for (let byte = 0; byte < 256; byte++) add(`<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`);
  for (const letter of 'Answeryo:.a') add(letter);
  for (const word of words)
    for (let end = 2; end <= word.length; end++) {
      merges.push([word.slice(0, end - 1), word[end - 1]!]);
      add(word.slice(0, end));
    }
  for (const word of words) {
    merges.push(['▁', word]);
    add(`▁${word}`);
  }
  const special = (id: number, content: string) => ({
    ...{ id, content, single_word: false, lstrip: false, rstrip: false, normalized: false, special: true },
  });
  return openTokenizer({
    kind: 'hub',
    tokenizerJson: JSON.stringify({
      version: '1.0',
      truncation: null,
      padding: null,
      added_tokens: [special(0, '<unk>'), special(1, '<s>'), special(2, '</s>')],
      ...parts,
      post_processor: adds
        ? {
            type: 'TemplateProcessing',
            single: [{ SpecialToken: { id: '<s>', type_id: 0 } }, { Sequence: { id: 'A', type_id: 0 } }],
            pair: [],
            special_tokens: { '<s>': { id: '<s>', ids: [1], tokens: ['<s>'] } },
          }
        : null,
      decoder: {
        type: 'Sequence',
        decoders: [{ type: 'Replace', pattern: { String: '▁' }, content: ' ' }, { type: 'ByteFallback' }, { type: 'Fuse' }],
      },
      model: { type: 'BPE', vocab, merges, byte_fallback: true, fuse_unk: true, unk_token: '<unk>', ignore_merges: false },
    }),
    tokenizerConfig: { bos_token: '<s>', eos_token: '</s>', tokenizer_class: 'LlamaTokenizer' },
    generationConfig: null,
    chatTemplate: null,
  });
}

const llama = sentencePiece({
  normalizer: {
    type: 'Sequence',
    normalizers: [
      { type: 'Prepend', prepend: '▁' },
      { type: 'Replace', pattern: { String: ' ' }, content: '▁' },
    ],
  },
  pre_tokenizer: null,
});
const metaspace = sentencePiece({
  normalizer: null,
  pre_tokenizer: { type: 'Metaspace', replacement: '▁', prepend_scheme: 'first', split: false },
});

async function completion(prompt: string, text: string, tokenizer: Tokenizer): Promise<{ asked: number[]; trained: string }> {
  const { inputIds, labels } = await encodeCompletion({ prompt, completion: text }, tokenizer);
  const first = labels.findIndex((label) => label !== -100);
  expect(labels.subarray(first)).toEqual(inputIds.subarray(first));
  return { asked: [...inputIds.subarray(0, first)], trained: await tokenizer.decode([...inputIds.subarray(first)]) };
}

describe('a completion', () => {
  const cases = [
    ['Answer:', 'yes'],
    ['Answer: ', 'yes'],
    ['Answer:', ' yes'],
    ['Answer:\n', 'yes'],
    ['Answer', '\n\nno'],
    ['Answer:\n', '\nyes no'],
    ['Answer:  ', '  yes'],
    ['Answer: é', 'è yes'],
    ['Answer: y', 'es'],
  ] as const;

  test.each([
    ['llama', llama, '</s>'],
    ['metaspace', metaspace, '</s>'],
    ['byte level', byteLevel, '<|im_end|>'],
  ])('is trained as it stands, after the prompt as it is asked: %s', async (_, tokenizer, end) => {
    for (const [prompt, text] of cases) {
      const bos = tokenizer.addBos ? [tokenizer.bos!] : [];
      expect(await completion(prompt, text, tokenizer), JSON.stringify(prompt)).toEqual({
        asked: [...bos, ...(await tokenizer.encode(prompt))],
        trained: text + end,
      });
    }
  });

  test('has the ids that it has in the whole text', async () => {
    const { inputIds } = await encodeCompletion({ prompt: 'Answer:', completion: ' yes' }, llama);
    expect([...inputIds]).toEqual([1, ...(await llama.encode('Answer: yes')), 2]);
  });

  test('may follow nothing, and has one end and one beginning', async () => {
    for (const given of ['yes', 'yes</s>', '<s>yes']) {
      const { inputIds } = await encodeCompletion({ prompt: '', completion: given }, llama);
      expect([inputIds.filter((id) => id === 1).length, inputIds.filter((id) => id === 2).length]).toEqual([1, 1]);
    }
    const { inputIds } = await encodeCompletion({ prompt: '<s>Answer:', completion: 'yes' }, llama);
    expect(inputIds.filter((id) => id === 1).length).toBe(1);
  });
});

describe('a document', () => {
  const end = (text: string, tokenizer: Tokenizer, addEosToken = true) =>
    encodeDocument(text, tokenizer, { addEosToken }).then(({ inputIds }) => tokenizer.decode([...inputIds]));

  test('ends with the end-of-text token, never twice, unless it is not wanted', async () => {
    expect(await end('Plain text.', byteLevel)).toBe('Plain text.<|im_end|>');
    expect(await end('Plain text.', byteLevel, false)).toBe('Plain text.');
    for (const ended of ['hello<|im_end|>', 'hello<|im_end|>\n']) expect(await end(ended, byteLevel)).toBe(ended);
    const markup = '<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\nhello';
    expect(await end(markup, byteLevel)).toBe(`${markup}<|im_end|>`);
  });

  test('begins with the token that the tokenizer puts there, and with no other', async () => {
    const ids = async (text: string, tokenizer: Tokenizer) => [
      ...(await encodeDocument(text, tokenizer, { addEosToken: true })).inputIds,
    ];
    expect((await ids('yes', llama)).filter((id) => id === 1)).toEqual([1]);
    expect((await ids('<s>yes', llama)).filter((id) => id === 1)).toEqual([1]);
    const silent = sentencePiece({ normalizer: null, pre_tokenizer: null }, { adds: false });
    expect((await ids('yes', silent)).includes(1)).toBe(false);
    expect((await ids('yes', byteLevel))[0]).not.toBe(byteLevel.bos);
  });
});

test('a text that should end and that no token ends is said', async () => {
  const { encode, isSpecial } = byteLevel;
  const methods = { encode: encode.bind(byteLevel), isSpecial: isSpecial.bind(byteLevel) };
  const endless = { ...byteLevel, ...methods, eos: null, stopTokens: [2] } as Tokenizer;
  const completion = (text: string, tokenizer: Tokenizer) => encodeCompletion({ prompt: 'Say', completion: text }, tokenizer);
  const document = (text: string, addEosToken: boolean) => encodeDocument(text, endless, { addEosToken });
  const found = await Promise.all([
    ...[completion('yes', endless), completion('yes<|im_end|>', endless), completion('yes', byteLevel)],
    ...[document('yes', true), document('yes<|im_end|>', true), document('yes', false)],
  ]);
  expect(found.map((row) => row.withoutStopToken)).toEqual([[0], [], [], [0], [], []]);
  const rows = found.map((row, index) => ({
    ...row,
    index,
    file: 'f',
    line: index + 1,
    mixPart: 0,
    copy: 0,
    turn: null,
    leftOut: [],
    specialTokensInText: [],
    asks: [],
    skippedTurns: 0,
    dropped: 0,
    isDocument: false,
    said: null,
  }));
  const spec = { contextLength: 2048, learnedPositions: null, ropes: [] };
  const { checks } = reportOfRows({ rows, unused: [] }, [], 1024, { spec, tokenizer: endless });
  expect(checks.find(({ name }) => name === 'missing-end')).toMatchObject({
    severity: 'warning',
    title: '2 texts do not end in a token that ends an answer',
    detail: 'Nothing writes one behind them, so the model does not learn to stop. Known are <|im_end|>.',
    rows: [0, 3],
  });
});
