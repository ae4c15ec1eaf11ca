/** Models as people have them on their disks: opened, or explained in words. */
import { cpSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, beforeEach, describe, expect, it } from 'vitest';
import { readSafetensors, readSafetensorsFloat32 } from '../formats/safetensors.ts';
import { Problem } from '../problem.ts';
import { openModel } from './open.ts';

const golden = join(import.meta.dirname, '../golden');
const root = mkdtempSync(join(tmpdir(), 'hub-folder-'));
afterAll(() => rmSync(root, { recursive: true }));

interface Stored {
  readonly name: string;
  readonly shape: readonly number[];
  readonly values: Float32Array;
}

function tensorsOf(folder: string): Stored[] {
  const path = join(folder, 'model.safetensors');
  return [...readSafetensors(path).tensors.values()].map((tensor) => ({
    ...tensor,
    values: readSafetensorsFloat32(path, tensor),
  }));
}

/** Also of types that the product does not write. */
function writeTensors(
  path: string,
  tensors: readonly { name: string; shape: readonly number[]; type: string; bytes: Uint8Array }[],
): void {
  let end = 0;
  const header = Object.fromEntries(
    tensors.map(({ name, shape, type, bytes }) => [name, { dtype: type, shape, data_offsets: [end, (end += bytes.length)] }]),
  );
  const text = Buffer.from(JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(text.length));
  writeFileSync(path, Buffer.concat([length, text, ...tensors.map(({ bytes }) => bytes)]));
}

const asFloat32 = ({ name, shape, values }: Stored) => ({
  name,
  shape,
  type: 'F32',
  bytes: new Uint8Array(values.slice().buffer),
});

function copyOf(name: string): string {
  const folder = mkdtempSync(join(root, 'copy-'));
  cpSync(join(golden, name, 'model'), folder, { recursive: true });
  return folder;
}

function changeConfig(folder: string, change: Readonly<Record<string, unknown>>): void {
  const path = join(folder, 'config.json');
  writeFileSync(path, JSON.stringify({ ...(JSON.parse(readFileSync(path, 'utf8')) as object), ...change }));
}

/** `models--someone--tiny` with these revisions. */
function cacheOf(revisions: readonly string[], main: string | null): string {
  const cache = join(mkdtempSync(join(root, 'hub-')), 'models--someone--tiny');
  for (const revision of revisions)
    cpSync(join(golden, 'llama-tied/model'), join(cache, 'snapshots', revision), { recursive: true });
  mkdirSync(join(cache, 'refs'), { recursive: true });
  if (main !== null) writeFileSync(join(cache, 'refs', 'main'), main);
  return cache;
}

/** What is said of how the model was found. */
const notesOf = (path: string) => openModel(path).info.notes.filter((note) => !note.includes('tokenizer'));

const [first, second] = ['a'.repeat(40), 'b'.repeat(40)] as const;

function problemOf(path: string): { code: string; text: string } {
  try {
    openModel(path);
  } catch (error) {
    if (error instanceof Problem) return { code: error.code, text: `${error.message} ${error.hint}` };
    throw error;
  }
  throw new Error(`'${path}' was opened`);
}

describe('names of tensors', () => {
  const base = (name: string) => name.replace(/^(transformer|model|gpt_neox)\./, '');
  it.each<[string, string, (name: string) => string]>([
    ['GPT-2 saved as GPT2Model', 'gpt2', base],
    ['LlamaModel', 'llama-tied', base],
    ['Qwen3Model', 'qwen3', base],
    ['Gemma3TextModel', 'gemma3', base],
    ['the text model inside one that also sees', 'gemma3', (name) => `language_model.${name}`],
    ['the same, by transformers 5', 'gemma3', (name) => name.replace(/^model\./, 'model.language_model.')],
    ['DistributedDataParallel', 'gpt2', (name) => `module.${name}`],
    ['torch.compile', 'phi', (name) => `_orig_mod.${name}`],
    ['a module around the model', 'stablelm', (name) => `model.${name}`],
    ['norms of each head', 'stablelm-parallel', (name) => `module.${name}`],
  ])('%s', (_, name, rename) => {
    const folder = copyOf(name);
    const whole = openModel(join(golden, name, 'model'));
    const tensors = tensorsOf(folder).filter((tensor) => !whole.spec.tiedEmbeddings || tensor.name !== 'lm_head.weight');
    writeTensors(
      join(folder, 'model.safetensors'),
      tensors.map((tensor) => asFloat32({ ...tensor, name: rename(tensor.name) })),
    );
    const model = openModel(folder);
    expect(model.weights.names).toEqual(whole.weights.names);
    for (const tensor of whole.weights.names) expect(model.weights.read(tensor), tensor).toEqual(whole.weights.read(tensor));
  });

  it('says that a model saved without its head has none', () => {
    const folder = copyOf('gpt-neox');
    writeTensors(
      join(folder, 'model.safetensors'),
      tensorsOf(folder).flatMap((tensor) =>
        /^embed_out|^lm_head/.test(tensor.name) ? [] : asFloat32({ ...tensor, name: base(tensor.name) }),
      ),
    );
    expect(problemOf(folder)).toMatchObject({
      code: 'tensor-missing',
      text: expect.stringMatching(/has no head.*saved without it/),
    });
  });

  it('says that an adapter was left among the weights', () => {
    const folder = copyOf('llama-tied');
    const extra = { name: 'model.layers.0.self_attn.q_proj.lora_A.default.weight', shape: [1], values: Float32Array.of(1) };
    writeTensors(join(folder, 'model.safetensors'), [...tensorsOf(folder), extra].map(asFloat32));
    expect(problemOf(folder).text).toMatch(/never merged.*merge_and_unload/);
  });
});

describe('one tensor twice', () => {
  const twice = 'model.layers.0.mlp.up_proj.weight';
  it.each([
    ['under a second name', 'layers.0.mlp.up_proj.weight'],
    ['in a second file', twice],
  ])('%s is one where the numbers are the same, else refused', (where, name) => {
    for (const added of [0, 1]) {
      const folder = copyOf('llama-tied');
      const tensors = tensorsOf(folder);
      const source = tensors.find((tensor) => tensor.name === twice)!;
      const again = asFloat32({ ...source, name, values: source.values.map((value) => value + added) });
      if (where === 'under a second name') writeTensors(join(folder, 'model.safetensors'), [...tensors.map(asFloat32), again]);
      else {
        writeTensors(join(folder, 'model-00001-of-00002.safetensors'), tensors.map(asFloat32));
        writeTensors(join(folder, 'model-00002-of-00002.safetensors'), [again]);
        rmSync(join(folder, 'model.safetensors'));
      }
      if (added === 0) expect(openModel(folder).weights.read(twice)).toEqual(source.values);
      else
        expect(problemOf(folder)).toMatchObject({ code: 'file-damaged', text: expect.stringContaining('with other numbers') });
    }
  });

  it('a tied head saved by the model and by the module in it is tied', () => {
    const folder = copyOf('llama-tied');
    const tensors = tensorsOf(folder);
    const embedding = tensors.find(({ name }) => name === 'model.embed_tokens.weight')!;
    const heads = ['lm_head.weight', 'model.lm_head.weight'].map((name) => ({ ...embedding, name }));
    writeTensors(join(folder, 'model.safetensors'), [...tensors, ...heads].map(asFloat32));
    expect(openModel(folder).spec.tiedEmbeddings).toBe(true);
  });
});

describe('the cache of a hub', () => {
  it.each([
    ['its root', ''],
    ['its snapshots', 'snapshots'],
    ['a file in it', `snapshots/${first}/config.json`],
  ])('is open at its revision by %s', (_, inside) => {
    const cache = cacheOf([first], first);
    const model = openModel(join(cache, inside));
    expect(model.path.endsWith(first)).toBe(true);
    expect(model.info.name).toBe('tiny');
    expect(notesOf(join(cache, inside))).toEqual([]);
  });

  it('says which of several snapshots is open, or asks', () => {
    expect(notesOf(cacheOf([first, second], second))).toEqual([expect.stringContaining(second)]);
    for (const main of [null, 'c'.repeat(40)]) {
      const { code, text } = problemOf(cacheOf([first, second], main));
      expect(code).toBe('format-unknown');
      expect(text).toContain(first);
      expect(text).toContain(second);
    }
    expect(openModel(cacheOf([first], null)).path.endsWith(first)).toBe(true);
    expect(openModel(dirname(cacheOf([first], first))).info.name).toBe('tiny');
  });

  it('that has only begun is a download', () => {
    const cache = cacheOf([], first);
    mkdirSync(join(cache, 'snapshots'));
    mkdirSync(join(cache, 'blobs'));
    writeFileSync(join(cache, 'blobs', 'abc.incomplete'), '');
    expect(problemOf(cache).text).toMatch(/no snapshot.*unfinished \('abc.incomplete'\)/);
  });

  it.runIf(process.platform !== 'win32')('keeps its files as links: a GGUF too, and a link that leads nowhere is named', () => {
    const cache = cacheOf([first], first);
    const snapshot = join(cache, 'snapshots', first);
    mkdirSync(join(cache, 'blobs'));
    cpSync(join(golden, 'llama-tied/model.gguf'), join(cache, 'blobs', 'f00'));
    symlinkSync('../../blobs/f00', join(snapshot, 'tiny-F32.gguf'));
    expect(openModel(join(snapshot, 'tiny-F32.gguf')).info.name).toBe('tiny-F32');
    renameSync(join(snapshot, 'model.safetensors'), join(cache, 'blobs', 'f01'));
    symlinkSync('../../blobs/f01', join(snapshot, 'model.safetensors'));
    for (const given of [cache, join(snapshot, 'model.safetensors')])
      expect(openModel(given).path).toBe(openModel(snapshot).path);
    rmSync(join(cache, 'blobs', 'f01'));
    writeFileSync(join(cache, 'blobs', 'f01.incomplete'), '');
    expect(problemOf(cache).text).toMatch(/model\.safetensors' is a link to a file that is not there.*unfinished/);
  });
});

describe('a folder', () => {
  let folder: string;
  beforeEach(() => {
    folder = copyOf('llama-tied');
  });
  const without = (name: string) => rmSync(join(folder, name));
  const put = (name: string, text = 'something') => writeFileSync(join(folder, name), text);

  it('around one model is that model, around several it asks', () => {
    const around = mkdtempSync(join(root, 'around-'));
    cpSync(folder, join(around, 'checkpoint-100'), { recursive: true });
    mkdirSync(join(around, 'logs'));
    expect(notesOf(around)).toEqual([expect.stringContaining("'checkpoint-100'")]);
    cpSync(folder, join(around, 'checkpoint-200'), { recursive: true });
    expect(problemOf(around).text).toMatch(/several models.*checkpoint-100'.*checkpoint-200'/);
  });

  it('opens its safetensors beside a GGUF, pickles, ONNX and consolidated weights', () => {
    for (const name of ['tiny.gguf', 'pytorch_model.bin', 'consolidated.safetensors', 'model.onnx']) put(name);
    expect(openModel(folder).format).toBe('hub');
  });

  it('opens shards without an index, and weights under another name', () => {
    const [half, ...rest] = tensorsOf(folder).map(asFloat32);
    const whole = openModel(folder).weights.names;
    renameSync(join(folder, 'model.safetensors'), join(folder, 'model.fp32.safetensors'));
    put('adapter_model.safetensors');
    expect(openModel(folder).weights.names).toEqual(whole);
    without('model.fp32.safetensors');
    writeTensors(join(folder, 'model-00001-of-00002.safetensors'), rest);
    expect(problemOf(folder).text).toContain("lacks the shard 'model-00002-of-00002.safetensors'");
    writeTensors(join(folder, 'model-00002-of-00002.safetensors'), [half!]);
    put('consolidated-00001-of-00001.safetensors');
    expect(openModel(folder).weights.names).toEqual(whole);
  });

  it('names every shard that its index has and it has not, and the download that was to bring them', () => {
    without('model.safetensors');
    const map = { a: 'model-1.safetensors', b: 'model-2.safetensors', c: 'model-3.safetensors' };
    put('model.safetensors.index.json', JSON.stringify({ weight_map: map }));
    put('model-2.safetensors');
    expect(problemOf(folder).text).toMatch(/lacks 2 of its 3 shards: 'model-1.safetensors', 'model-3.safetensors'/);
    mkdirSync(join(folder, '.cache/huggingface/download'), { recursive: true });
    put('.cache/huggingface/download/model-1.abc.incomplete');
    expect(problemOf(folder).text).toMatch(/download is unfinished/);
  });

  it.each<[string, readonly string[], string, RegExp]>([
    ['pickles', ['pytorch_model.bin'], 'format-unsupported', /pickle file, which could run code/],
    ['a training run’s own files', ['optimizer.pt', 'training_args.bin'], 'file-missing', /has no model\.safetensors/],
    ['an adapter', ['adapter_config.json', 'adapter_model.safetensors'], 'format-unknown', /is an adapter/],
    [
      'GGUF files',
      ['a-Q4.gguf', 'b-Q8.gguf', 'mmproj-F16.gguf'],
      'file-missing',
      /one of the GGUF files.*a-Q4.*b-Q8\.gguf'\.$/,
    ],
    ['the maker’s own form', ['consolidated.safetensors', 'params.json'], 'format-unsupported', /consolidated/],
    ['ONNX', ['model.onnx'], 'format-unsupported', /ONNX/],
    ['TensorFlow', ['tf_model.h5'], 'format-unsupported', /another framework/],
    ['MLX', ['weights.npz'], 'format-unsupported', /MLX/],
    ['two variants', ['model.fp16.safetensors', 'model.bf16.safetensors'], 'format-unsupported', /which of .*bf16.*fp16/],
    ['an unfinished download', ['model.safetensors.part'], 'file-missing', /unfinished \('model\.safetensors\.part'\)/],
  ])('with %s instead of weights is explained', (_, names, code, words) => {
    without('model.safetensors');
    for (const name of names) put(name);
    const problem = problemOf(folder);
    expect(problem.text).toMatch(words);
    expect(problem.code).toBe(code);
  });

  it.each([
    [
      'a pointer of Git LFS',
      'version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n',
      /pointer of Git LFS.*git lfs pull/,
    ],
    ['a web page', '<!DOCTYPE html><html></html>', /page of a web site/],
    ['nothing', '', /is empty/],
  ])('with %s in a file’s place is explained', (_, text, words) => {
    for (const name of ['tokenizer.json', 'model.safetensors', 'config.json']) {
      put(name, text);
      expect(problemOf(folder).text).toMatch(words);
      expect(problemOf(folder).text).toContain(name);
    }
    put('tiny.gguf', text);
    expect(problemOf(join(folder, 'tiny.gguf')).text).toMatch(words);
  });
});

describe('a config that says the weights are quantized', () => {
  const bytes = (type: string, count: number) => new Uint8Array(count * (/32/.test(type) ? 4 : /16/.test(type) ? 2 : 1));
  const weight = 'model.layers.0.mlp.up_proj.weight';

  it.each<[string, Record<string, unknown>]>([
    ['bitsandbytes', { quantization_config: { quant_method: 'bitsandbytes', load_in_4bit: true } }],
    ['bitsandbytes', { quantization_config: { load_in_8bit: true } }],
    ['fp8', { quantization_config: { quant_method: 'fp8', weight_block_size: [128, 128] } }],
    ['auto-round', { quantization_config: { quant_method: 'intel/auto-round', bits: 4 } }],
    ['compressed-tensors', { compression_config: { quant_method: 'compressed-tensors' } }],
  ])('is open where they are plain (%s)', (method, change) => {
    const folder = copyOf('llama-tied');
    const whole = openModel(folder);
    changeConfig(folder, change);
    const model = openModel(folder);
    expect(model.spec).toEqual(whole.spec);
    expect(model.info.notes.join()).toContain(`quantized (${method}), but they are plain`);
  });

  it.each([
    ['BitNet computes otherwise', { quantization_config: { quant_method: 'bitnet', quantization_mode: 'online' } }, 'bitnet'],
    ['nobody knows', { quantization_config: { quant_method: 'spiral' } }, 'spiral'],
    ['no name', { quantization: { group_size: 64, bits: 4 } }, 'quantization'],
  ])('is refused by its method: %s', (_, change, words) => {
    const folder = copyOf('llama-tied');
    changeConfig(folder, change);
    const [field] = Object.keys(change);
    expect(problemOf(folder).text).toContain(words);
    expect(problemOf(folder).text).toContain(`--accept-field ${field!}`);
    expect(openModel(folder, [field!]).info.notes.join()).toContain(`'${field!}'`);
  });

  it.each<[string, readonly [string, string][]]>([
    [
      'bitsandbytes',
      [
        [weight, 'U8'],
        [`${weight}.absmax`, 'F32'],
        [`${weight}.quant_state.bitsandbytes__nf4`, 'U8'],
      ],
    ],
    [
      'bitsandbytes',
      [
        [weight, 'I8'],
        [weight.replace('weight', 'SCB'), 'F32'],
      ],
    ],
    [
      'GPTQ or AWQ',
      [
        [weight.replace('weight', 'qweight'), 'I32'],
        [weight.replace('weight', 'scales'), 'F16'],
      ],
    ],
    [
      'FP8',
      [
        [weight, 'F8_E4M3'],
        [`${weight}_scale_inv`, 'F32'],
      ],
    ],
    [
      'compressed-tensors',
      [
        [`${weight}_packed`, 'I32'],
        [`${weight}_scale`, 'BF16'],
      ],
    ],
    [
      'MLX',
      [
        [weight.replace('weight', 'scales'), 'F16'],
        [weight, 'U32'],
      ],
    ],
    ['F8_E5M2', [[weight, 'F8_E5M2']]],
  ])('and weights that are (%s), is refused by name with the way out', (by, packed) => {
    const folder = copyOf('llama-tied');
    const plain = tensorsOf(folder)
      .filter(({ name }) => name !== weight)
      .map(asFloat32);
    const stored = packed.map(([name, type]) => ({ name, type, shape: [8], bytes: bytes(type, 8) }));
    writeTensors(join(folder, 'model.safetensors'), [...plain, ...stored]);
    for (const change of [{}, { quantization: { bits: 4 } }]) {
      changeConfig(folder, change);
      const problem = problemOf(folder);
      expect(problem.code).toBe('format-unsupported');
      expect(problem.text).toContain(`quantized weights (${by})`);
      expect(problem.text).toMatch(/GGUF of it.*dequantize/);
    }
  });
});

it('code that a model names is never run, and this is said', () => {
  const folder = copyOf('phi3');
  changeConfig(folder, { auto_map: { AutoModelForCausalLM: 'modeling_phi3.Phi3ForCausalLM' } });
  expect(openModel(folder).info.notes.join()).toContain('auto_map');
});

it.each(['adapter_config.json', 'adapter_model.safetensors', 'adapters.safetensors'])(
  'an adapter beside a model is said to be none of it: %s',
  (name) => {
    const folder = copyOf('phi3');
    expect(openModel(folder).info.notes.join()).not.toContain('files of an adapter');
    writeFileSync(join(folder, name), '{}');
    expect(openModel(folder).info.notes.join()).toContain(`(${name})`);
    expect(openModel(join(folder, 'config.json')).info.notes.join()).toContain(`(${name})`);
  },
);
