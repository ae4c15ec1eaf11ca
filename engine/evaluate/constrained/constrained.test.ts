/** Holds constrained answers to what a schema, a tokenizer and a limit of tokens say. */
import { tmpdir } from 'node:os';
import { mkdtempSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { openTokenizer, tokenizerOf, type Tokenizer } from '../../data/tokenizer.ts';
import { GenerationSession } from '../../decoder/generation.ts';
import { openModel } from '../../models/open.ts';
import { openSession } from '../../runtime/session.ts';
import { constrainedSchemas } from '../../testing/constrained-schemas.ts';
import { problemOf } from '../../testing/problem-of.ts';
import { streamOf, threefry } from '../../random.ts';
import { chooseToken, generate } from '../generate.ts';
import { compiledSchema } from '../json-schema.ts';
import type { Constraint } from './constraint.ts';
import { openConstraint } from './open.ts';

const model = openModel('resources/tiny/model', []);
const tiny = tokenizerOf(model)!;

/** Finds the token of each piece of text, or of the bytes of what is no piece. */
function tokensOf(tokenizer: Tokenizer): (pieces: readonly string[]) => number[] {
  const ids = new Map([...tokenizer.tokenBytes()].map(([id, bytes]) => [bytes, id]));
  return (pieces) =>
    pieces.flatMap((piece) => {
      const bytes = Buffer.from(piece, 'utf8').toString('latin1');
      return ids.has(bytes) ? [ids.get(bytes)!] : [...bytes].map((byte) => ids.get(byte)!);
    });
}

type Fate = 'whole' | 'open' | 'refused';

/** Writes tokens one after the other, and says what has come of them. */
function fate(schema: unknown, pieces: readonly string[], tokenizer = tiny): Fate {
  return fateOf(openConstraint(schema, tokenizer), pieces, tokenizer);
}

function fateOf(constraint: Constraint, pieces: readonly string[], tokenizer = tiny): Fate {
  const answer = constraint.begin();
  const size = tokenizer.vocabularySize;
  for (const token of tokensOf(tokenizer)(pieces)) {
    if (answer.allowed(new Float32Array(size), 10_000)[token] === -Infinity) return 'refused';
    answer.accept(token);
  }
  return answer.isComplete ? 'whole' : 'open';
}

/** Writes texts byte by byte. */
function expectAll(schema: unknown, fates: Readonly<Record<Fate, readonly string[]>>): void {
  const constraint = openConstraint(schema, tiny);
  for (const [wanted, texts] of Object.entries(fates))
    for (const text of texts) expect([text, fateOf(constraint, [...text])]).toEqual([text, wanted]);
}

describe('a document by a schema', () => {
  it('is JSON, with one optional space after a colon and a comma and no other', () => {
    expectAll(true, {
      whole: ['null', '{}', '[]', '[1,2, 3]', '{"a":1, "b": [true]}', '"\\u0041"', '-0.5e-10', '0', '[[[[]]]]'],
      open: ['', '{"a"', '[1,', '"', '-', '1.', '1e', 'nul'],
      refused: [' 1', '{ "a"', '[ 1', '[1 ,', '01', '+1', '.5', '1.e', '[1,]', '{"a":1,}', "'", 'nan', '[1]]', '1e999', '\n'],
    });
  });

  it('has strings without control characters and without half a pair of surrogates', () => {
    expectAll(
      { type: 'string' },
      {
        whole: ['"é藍😀"', '"\\ud83d\\ude00"', '"\\n\\/\\"\\\\"', '"\\uD7FF\\ue000"'],
        open: ['"\\ud83d', '"\\ud83d\\u', '"\\u00e'],
        refused: ['"\n', '"\\ud83d"', '"\\ud83dx', '"\\ude00', '"\\ud83d\\u0041', '"\\ud83d\\n', '"\\x', '"\\u00g'],
      },
    );
    const ids = new Map([...tiny.tokenBytes()].map(([id, bytes]) => [bytes, id]));
    const byBytes = (...bytes: number[]): boolean => {
      const answer = openConstraint({ type: 'string', pattern: '^[é😀]*$' }, tiny).begin();
      return [0x22, ...bytes].every((byte) => {
        const token = ids.get(String.fromCharCode(byte))!;
        const allowed = answer.allowed(new Float32Array(400), 100)[token] === 0;
        if (allowed) answer.accept(token);
        return allowed;
      });
    };
    expect(byBytes(0xc3, 0xa9)).toBe(true);
    expect(byBytes(0xc3, 0xa8)).toBe(false);
    expect(byBytes(0xf0, 0x9f, 0x98, 0x80)).toBe(true);
    expect(byBytes(0xf0, 0x9f, 0x99)).toBe(false);
    expect(byBytes(0xe2)).toBe(false);
    expect(byBytes(0x80)).toBe(false);
  });

  it('counts characters, not bytes or units', () => {
    expectAll(
      { type: 'string', minLength: 2, maxLength: 3 },
      {
        whole: ['"😀😀"', '"\\ud83d\\ude00é藍"', '"abc"'],
        open: ['"a', '"abc'],
        refused: ['"😀"', '"abcd', '"\\n"'],
      },
    );
  });

  it('follows a pattern, found anywhere, however its characters are written', () => {
    expectAll(
      { type: 'string', pattern: '^(ab|[c-e\\d]+)\\.?x{2,3}$' },
      {
        whole: ['"abxx"', '"c1.xxx"', '"\\u0061bxx"'],
        open: ['"ab', '"ab.xxx'],
        refused: ['"abx"', '"b', '"abxxxx', '"\\u0062'],
      },
    );
    expectAll({ type: 'string', pattern: 'a$|^"' }, { whole: ['"xa"', '"\\"x"'], open: ['"x'], refused: ['"x"', '"ab"'] });
    expectAll(
      { type: 'string', pattern: '\\s', maxLength: 2 },
      { whole: ['"a "', '"\\t"'], open: [], refused: ['"ab', '"a"'] },
    );
  });

  it('has numbers within bounds', () => {
    expectAll(
      { type: 'integer', minimum: 18, maximum: 65 },
      {
        whole: ['18', '65', '20'],
        open: ['1', '2'],
        refused: ['7', '66', '17', '-', '0', '180', '20.', '2e', '020'],
      },
    );
    expectAll(
      { type: 'integer', exclusiveMinimum: -12, maximum: -3 },
      { whole: ['-11', '-3'], open: ['-'], refused: ['-12', '-2', '3'] },
    );
    expectAll(
      { type: 'number', exclusiveMinimum: 0, maximum: 0.5 },
      { whole: ['0.5', '0.1', '0.25'], open: ['0', '0.'], refused: ['0.51', '0.6', '1', '-'] },
    );
    expectAll(
      { type: 'integer' },
      { whole: ['0', '-7', '123456789012345678'], open: ['-'], refused: ['-0', '1.', '1e', '1234567890123456789'] },
    );
  });

  it('has the properties in the order of the schema, each once, and the others after them', () => {
    const properties = { a: { type: 'integer' }, b: { type: 'integer' }, ab: { type: 'integer' } };
    expectAll(
      { type: 'object', properties, required: ['b'], additionalProperties: false },
      {
        whole: ['{"b":1}', '{"a":1,"b":2, "ab": 3}'],
        open: ['{"a":1'],
        refused: ['{}', '{"ab"', '{"b":1,"a"', '{"b":1,"b', '{"c', '{"a":1}', '{"b":1,}', '{,'],
      },
    );
    expectAll(
      { type: 'object', properties, additionalProperties: { type: 'null' } },
      {
        whole: ['{}', '{"a":1,"abc":null}', '{"x":null,"y":null}', '{"\\u0078":null}', '{"b":1,"aa":null}'],
        open: ['{"x":null,"x'],
        refused: ['{"x":1', '{"x":null,"x"', '{"x":null,"a"', '{"x":null,"\\u0078"', '{"x":null,"y":null,"x"', '{"\\u0061":1'],
      },
    );
    expectAll({ required: ['a'] }, { whole: ['{"a":[]}', '{"a":1,"b":2}'], open: ['{'], refused: ['{}', '{"b"', '[', '1'] });
  });

  it('has arrays of as many items as are asked for', () => {
    expectAll(
      { type: 'array', items: { type: 'integer' }, minItems: 1, maxItems: 2 },
      {
        whole: ['[1]', '[1, 2]'],
        open: ['[1'],
        refused: ['[]', '[1,2,', '["'],
      },
    );
    expectAll({ prefixItems: [{ const: 'x' }], items: false }, { whole: ['[]', '["x"]'], open: [], refused: ['["x",', '["y'] });
  });

  it('is a branch, a reference, or a listed value that the rest allows', () => {
    const node = { type: 'object', properties: { next: { $ref: '#/$defs/node' } }, additionalProperties: false };
    expectAll(
      { $defs: { node }, $ref: '#/$defs/node' },
      { whole: ['{}', '{"next":{"next":{}}}'], open: ['{"next":'], refused: ['{"next":1'] },
    );
    expectAll(
      { enum: ['a', 'ab', 1, { k: [1, 2] }] },
      { whole: ['"a"', '"ab"', '1', '{"k":[1, 2]}'], open: ['"a'], refused: ['"b', '2'] },
    );
    expectAll({ type: 'string', enum: ['a', 1], maxLength: 1 }, { whole: ['"a"'], open: [], refused: ['1'] });
    expectAll(
      { anyOf: [{ type: 'integer' }, { type: 'array', items: { $ref: '#' } }] },
      { whole: ['1', '[[1],2]'], open: [], refused: ['"'] },
    );
    const kinds = ['p', 'q'].map((kind) => ({
      ...{ type: 'object', properties: { k: { const: kind }, [kind]: { type: 'integer' } } },
      ...{ required: ['k', kind], additionalProperties: false },
    }));
    expectAll({ oneOf: kinds }, { whole: ['{"k":"p","p":1}', '{"k":"q","q":1}'], open: ['{"k":"'], refused: ['{"k":"p","q'] });
  });
});

describe('what an answer cannot be held to', () => {
  it.each([
    [{ properties: { a: { not: {} } } }, '/properties/a/not'],
    [{ items: { type: 'array', uniqueItems: true } }, '/items/uniqueItems'],
    [{ properties: { 'a/b': { multipleOf: 2 } } }, '/properties/a~1b/multipleOf'],
    [{ patternProperties: { a: true } }, '/patternProperties'],
    [{ anyOf: [{ type: 'string', pattern: '(?=a)b' }] }, "/anyOf/0/pattern: the pattern has a look-ahead '(?='"],
    [{ pattern: '(a)\\1' }, "a reference '\\1'"],
    [{ pattern: '\\bword' }, 'boundary of words'],
    [{ pattern: '(a|b)*a(a|b){14}' }, 'the pattern is too large'],
    [{ oneOf: [{ type: 'integer' }, { type: 'number' }] }, '/oneOf: a document may be allowed by both branch 0 and branch 1'],
    [{ oneOf: [{ properties: { a: true } }, { type: 'string' }] }, '/oneOf'],
    [{ properties: { a: true }, anyOf: [{ properties: { b: true } }] }, "/anyOf: it stands beside 'properties'"],
    [{ allOf: [{ type: 'string' }, { maxLength: 2 }] }, '/allOf'],
    [{ $ref: '#/$defs/a', $defs: { a: { $ref: '#/$defs/a' } } }, 'nested too deeply'],
    [{ anyOf: [{ $ref: '#' }, { type: 'string' }] }, 'reference to itself'],
    [{ $defs: { a: { properties: { a: { $ref: '#/$defs/a' } }, required: ['a'] } }, $ref: '#/$defs/a' }, 'no document'],
    [{ type: 'string', minLength: 3, maxLength: 2 }, 'no document'],
    [{ type: 'integer', minimum: 3, maximum: 2 }, 'no document'],
    [{ type: 'strin' }, 'The schema cannot be used'],
    [{ typ: 'string' }, 'typ'],
  ])('%j', (schema, says) => {
    const problem = problemOf(() => openConstraint(schema, tiny));
    expect(problem.message).toContain(says);
    expect(problem.code).toBe('request-invalid');
  });
});

/** Makes a vocabulary like SentencePiece's, with byte fallback, and tokens that go over several steps of a document. */
function sentencePiece(bytes = 256): Tokenizer {
  const pieces = ['<unk>', '<s>', '</s>', '<end_of_turn>'];
  for (let byte = 0; byte < bytes; byte++) pieces.push(`<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`);
  for (let code = 0x21; code < 0x7f; code++) pieces.push(String.fromCharCode(code));
  pieces.push(
    '▁',
    '":',
    '":▁',
    '"}',
    '},{',
    '{"a":',
    '":1,"',
    '"],"',
    '▁"',
    'é',
    '藍',
    '▁{"',
    '[{"',
    '123',
    '"a":1,"a":1',
    'x":1,"x":',
    '▁▁',
  );
  const added = [0, 1, 2, 3].map((id) => ({
    ...{ id, content: pieces[id]!, special: true },
    ...{ single_word: false, lstrip: false, rstrip: false, normalized: false },
  }));
  const decoders = [
    { type: 'Replace', pattern: { String: '▁' }, content: ' ' },
    { type: 'ByteFallback' },
    { type: 'Fuse' },
    { type: 'Strip', content: ' ', start: 1, stop: 0 },
  ];
  return openTokenizer({
    kind: 'hub',
    tokenizerJson: JSON.stringify({
      ...{ version: '1.0', truncation: null, padding: null, added_tokens: added, normalizer: null },
      ...{ pre_tokenizer: null, post_processor: null, decoder: { type: 'Sequence', decoders } },
      model: {
        ...{ type: 'BPE', vocab: Object.fromEntries(pieces.map((piece, id) => [piece, id])), merges: [] },
        ...{ byte_fallback: true, fuse_unk: true, unk_token: '<unk>', ignore_merges: false },
      },
    }),
    tokenizerConfig: { bos_token: '<s>', eos_token: '</s>', tokenizer_class: 'LlamaTokenizer' },
    generationConfig: null,
    chatTemplate: null,
  });
}

describe('tokens', () => {
  const llama = sentencePiece();
  const list = {
    type: 'array',
    items: { type: 'object', properties: { a: { type: 'integer' } }, required: ['a'], additionalProperties: false },
  };

  it('go over several steps of a document where all of them are allowed', () => {
    expect(fate(list, ['[{"', 'a', '":', '1', '},{', '"', 'a', '": ', '123', '}', ']'], llama)).toBe('whole');
    expect(fate(list, ['[', '{"a":', '1', '},{'], llama)).toBe('open');
    expect(fate(list, ['[{"', 'a', '":1,"'], llama)).toBe('refused');
    expect(fate({ type: 'string' }, ['"', ' {"'], llama)).toBe('whole');
    expect(fate(true, [' "'], llama)).toBe('refused');
    expect(fate(true, ['[{"', 'é', '": ', '"', '藍', '"}', ']'], llama)).toBe('whole');
    expect(fate(true, ['[{"', 'a', '":', '[', '"', '"],"'], llama)).toBe('open');
    expect(fate({ type: 'object', additionalProperties: { type: 'array' } }, ['{"a":', '[', '"', '"],"'], llama)).toBe('open');
  });

  it('never name a property twice, not even within one of them', () => {
    const map = { type: 'object', additionalProperties: { type: 'integer' } };
    expect(fate(map, ['{', '"a":1,"a":1'], llama)).toBe('refused');
    expect(fate(map, ['{"', 'x":1,"x":'], llama)).toBe('refused');
    expect(fate(map, ['{"a":', '1', ',', '"', 'b', '":1,"'], llama)).toBe('open');
    expect(fate(map, ['{"a":', '1', ',', '"', 'b', '":1,"', 'b', '":'], llama)).toBe('refused');
  });

  it('of bytes make a character, and every token of the same bytes is allowed', () => {
    const start = openConstraint({ type: 'string' }, llama).begin();
    const size = llama.vocabularySize;
    const names = [...llama.tokenBytes()];
    for (const byte of ['"', '\xf0', '\x9f', '\x98', '\x80', '"']) {
      const ids = names.filter(([, bytes]) => bytes === byte).map(([id]) => id);
      const allowed = start.allowed(new Float32Array(size), 50);
      expect(ids.map((id) => allowed[id])).toEqual(ids.map(() => 0));
      start.accept(ids[0]!);
    }
    expect(start.isComplete && start.isFinal).toBe(true);
  });

  it('that are special are not allowed within a document, and one that ends an answer only where the document is whole', () => {
    const answer = openConstraint({ type: 'integer' }, llama).begin();
    const specials = (): number[] => [...answer.allowed(new Float32Array(llama.vocabularySize), 50).subarray(0, 4)];
    expect(specials()).toEqual([-Infinity, -Infinity, -Infinity, -Infinity]);
    answer.accept(tokensOf(llama)(['123'])[0]!);
    expect(answer.isFinal).toBe(false);
    // These are <unk>, <s>, </s> and <end_of_turn>.
    expect(specials()).toEqual([-Infinity, -Infinity, 0, 0]);
    answer.accept(3);
    expect(answer.isComplete && answer.isFinal).toBe(true);
  });

  it('are needed for each byte of JSON', () => {
    const problem = problemOf(() => openConstraint(true, sentencePiece(0x80)));
    expect(problem).toMatchObject({ code: 'tokenizer-unsupported', message: expect.stringContaining('0x80') as string });
  });
});

/** Gives logits by which each token is as likely as another. */
const noises = Float32Array.from({ length: 5000 }, (_, i) => (threefry([1, streamOf('sampling')], [i, 0])[0] / 2 ** 32) * 8);
function noise(step: number): Float32Array {
  const from = threefry([2, streamOf('sampling')], [step, 0])[0] % 4000;
  return noises.subarray(from, from + 384);
}

describe('a limit of tokens', () => {
  it('is kept by closing the document in time, however short it is', () => {
    const schema = {
      type: 'object',
      properties: { name: { type: 'string', minLength: 2 }, tags: { type: 'array', items: true, minItems: 1 } },
      required: ['name', 'tags'],
    };
    const constraint = openConstraint(schema, tiny);
    const validate = compiledSchema(schema);
    const bytes = tiny.tokenBytes();
    expect(constraint.enough).toBeLessThan(35);
    for (let limit = constraint.enough; limit < 70; limit++) {
      const answer = constraint.begin();
      let text = '';
      let left = limit;
      for (; left > 0 && !answer.isFinal; left--) {
        const token = chooseToken(
          answer.allowed(noise(limit * 64 + left), left),
          { temperature: 1, topK: 0, topP: 1, seed: 1 },
          left,
        );
        answer.accept(token);
        text += bytes.get(token) ?? '';
      }
      expect([limit, answer.isComplete]).toEqual([limit, true]);
      expect(validate(JSON.parse(Buffer.from(text, 'latin1').toString('utf8')))).toBe(true);
    }
    const cut = constraint.begin();
    for (let left = 5; left > 0; left--)
      cut.accept(chooseToken(cut.allowed(noise(left), left), { temperature: 0, topK: 0, topP: 1, seed: 1 }, left));
    expect(cut.isComplete).toBe(false);
  });
});

describe('a long answer', () => {
  it('is held to its schema although what was found out about the documents is forgotten meanwhile', () => {
    const schema = { type: 'array', items: { type: 'string', minLength: 1000 }, minItems: 1 };
    const constraint = openConstraint(schema, tiny);
    const answer = constraint.begin();
    const bytes = tiny.tokenBytes();
    let text = '';
    for (let left = 1100; left > 0 && !answer.isFinal; left--) {
      const settings = { temperature: 1, topK: 0, topP: 1, seed: 1 };
      const token = chooseToken(answer.allowed(noise(left), left), settings, left);
      answer.accept(token);
      text += bytes.get(token) ?? '';
    }
    expect(answer.isComplete).toBe(true);
    expect(compiledSchema(schema)(JSON.parse(Buffer.from(text, 'latin1').toString('utf8')))).toBe(true);
  });
});

describe('answers to forty schemas', () => {
  it('are allowed by them, whatever a model would rather say', { timeout: 300_000 }, async () => {
    for (const [i, schema] of constrainedSchemas.entries()) {
      const constraint = openConstraint(schema, tiny);
      const validate = compiledSchema(schema);
      for (let seed = 0; seed < 4; seed++) {
        let step = 0;
        const source = { reset: () => {}, feed: () => Promise.resolve(noise(1000 * (4 * i + seed) + step++)) };
        const settings = {
          maxTokens: 50 + 20 * seed,
          temperature: seed % 2,
          topK: 0,
          topP: seed > 2 ? 0.9 : 1,
          seed,
          ignoreStop: false,
        };
        const answer = await generate(source, {
          promptTokens: [1],
          settings,
          contextLength: 1000,
          tokenizer: tiny,
          constraint,
        });
        expect([schema, answer.text, answer.constrained]).toEqual([schema, answer.text, 'complete']);
        expect([schema, answer.text, validate(JSON.parse(answer.text))]).toEqual([schema, answer.text, true]);
      }
    }
  });

  it('are allowed by them as the tiny model writes them', { timeout: 300_000 }, async () => {
    const cacheDir = mkdtempSync(join(tmpdir(), 'lowrank-constrained-'));
    const session = await GenerationSession.open(model, { threads: 1, cacheDir, openSession });
    const promptTokens = await tiny.encode('What colour is a lemon?');
    for (const schema of constrainedSchemas) {
      const constraint = openConstraint(schema, tiny);
      for (const temperature of [0, 1]) {
        const settings = { maxTokens: 60, temperature, topK: 0, topP: 1, seed: 5, ignoreStop: false };
        const answer = await generate(session, { promptTokens, settings, contextLength: 256, tokenizer: tiny, constraint });
        expect([schema, answer.text, answer.constrained]).toEqual([schema, answer.text, 'complete']);
        expect([schema, answer.text, compiledSchema(schema)(JSON.parse(answer.text))]).toEqual([schema, answer.text, true]);
      }
    }
    await session.release();
  });
});
