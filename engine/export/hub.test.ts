import {
  cpSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { openTokenizer } from '../data/tokenizer.ts';
import { SafetensorsWriter } from '../formats/safetensors.ts';
import { notesOnParts } from '../jobs/export.ts';
import { openModel } from '../models/open.ts';
import { writeGguf } from './gguf.ts';
import { writeHubFolder } from './hub.ts';
import { findTarget } from './index.ts';
import { writeOnnxFolder } from './onnx/folder.ts';
import { exportSource } from './source.ts';

const root = mkdtempSync(join(tmpdir(), 'export-hub-'));
afterAll(() => rmSync(root, { recursive: true }));
const golden = (name: string) => join(import.meta.dirname, '../golden', name, 'model');
const onProgress = async () => {};

describe('config.json', () => {
  it('has the whole floats of its source as floats: transformers refuses an integer there', async () => {
    const source = join(root, 'gemma2');
    cpSync(golden('gemma2'), source, { recursive: true });
    const config = join(source, 'config.json');
    const softer = {
      ...(JSON.parse(readFileSync(config, 'utf8')) as object),
      final_logit_softcapping: 30,
      initializer_range: 1,
    };
    const spelled = JSON.stringify(softer).replace('"initializer_range":1', '"initializer_range":1.0');
    writeFileSync(config, spelled);
    const model = openModel(source);
    const out = mkdtempSync(join(root, 'merged-'));
    await writeHubFolder(out, exportSource(model, [], null), 'F32', onProgress);
    const text = readFileSync(join(out, 'config.json'), 'utf8');
    expect(text).toContain('"final_logit_softcapping": 30.0');
    expect(text).toContain('"initializer_range": 1.0');
    expect(text).toMatch(/"num_hidden_layers": \d+,/);
  });

  it('made of a GGUF has them too', async () => {
    const model = openModel(golden('gemma2'));
    const gguf = join(root, 'gemma2.gguf');
    const whole = { ...model.spec, head: { ...model.spec.head, cap: 30 } };
    await writeGguf(gguf, exportSource({ ...model, spec: whole }, [], null), 'f32', onProgress);
    const opened = openModel(gguf);
    const out = mkdtempSync(join(root, 'of-gguf'));
    await writeHubFolder(out, exportSource(opened, [], null), 'F32', onProgress);
    expect(readFileSync(join(out, 'config.json'), 'utf8')).toContain('"final_logit_softcapping": 30.0');
  });
});

describe('what travels with a merged model', () => {
  /** The exported folder of a model with these files beside it. */
  async function merged(files: Readonly<Record<string, string>>, change: object = {}): Promise<string> {
    const source = mkdtempSync(join(root, 'base-'));
    cpSync(golden('llama-tied'), source, { recursive: true });
    for (const [name, text] of Object.entries(files)) {
      mkdirSync(dirname(join(source, name)), { recursive: true });
      writeFileSync(join(source, name), text);
    }
    const config = JSON.parse(readFileSync(join(source, 'config.json'), 'utf8')) as object;
    writeFileSync(join(source, 'config.json'), JSON.stringify({ ...config, ...change }));
    const out = mkdtempSync(join(root, 'travels-'));
    await writeHubFolder(out, exportSource(openModel(source), [], null), 'F32', onProgress);
    return out;
  }
  const json = (folder: string, name: string) =>
    JSON.parse(readFileSync(join(folder, name), 'utf8')) as Record<string, unknown>;

  it('templates under names, terms of use, every form of a tokenizer; no code, no pickle, no card', async () => {
    const named = JSON.stringify({ chat_template: [{ name: 'tool_use', template: '{{ 1 }}' }] });
    const kept = [
      ...[
        'LICENSE',
        'LICENSE.md',
        'MODEL_LICENSE.pdf',
        'LICENCE',
        'NOTICE',
        'USE_POLICY.md',
        'USAGE_POLICY',
        'LICENSES/MIT.txt',
      ],
      ...['Gemma_Terms_of_Use.txt', 'Acceptable-Use.md', 'chat_template.jinja', 'chat_template.json', 'rag.jinja'],
      ...['additional_chat_templates/tool_use.jinja', 'additional_chat_templates/rag.jinja', 'merges.txt', 'vocab.txt'],
      ...['vocab.json', 'tokenizer.model', 'tokenizer.model.v3', 'spiece.model', 'tekken.json', 'added_tokens.json'],
      ...['special_tokens_map.json', 'generation_config.json'],
    ];
    const left = [
      ...['README.md', 'modeling_llama.py', 'pytorch_model.bin', 'training_args.bin', 'model.onnx', 'license_check.py'],
      ...['additional_chat_templates/run.py', 'preprocessor_config.json', 'optimizer.pt', 'consolidated.safetensors'],
    ];
    const texts = Object.fromEntries([...kept, ...left].map((name) => [name, name.endsWith('.json') ? '{"a": 1}' : name]));
    const out = await merged({ ...texts, 'tokenizer_config.json': named });
    for (const name of kept) expect(readFileSync(join(out, name), 'utf8'), name).toBe(texts[name]);
    for (const name of left) expect(existsSync(join(out, name)), name).toBe(false);
    expect(readFileSync(join(out, 'tokenizer_config.json'), 'utf8')).toBe(named);
  });

  it('configs without the code that stays behind, every number as it was spelled', async () => {
    const code = { AutoConfig: 'configuration_own.OwnConfig', AutoModelForCausalLM: 'modeling_own.OwnForCausalLM' };
    const own = '{"auto_map": {"AutoTokenizer": ["tokenization_own.OwnTokenizer", null]}, "tokenizer_class": "OwnTokenizer",';
    const out = await merged(
      {
        'modeling_own.py': 'raise',
        'tokenizer_config.json': `${own} "model_max_length": 1000000000000000019884624838656, "x": "\\"auto_map\\": 1"}`,
        'generation_config.json': '{"auto_map": {}, "temperature": 2.0}',
      },
      { auto_map: code },
    );
    expect(json(out, 'config.json')).not.toHaveProperty('auto_map');
    expect(json(out, 'tokenizer_config.json')).toMatchObject({
      tokenizer_class: 'PreTrainedTokenizerFast',
      x: '"auto_map": 1',
    });
    expect(json(out, 'tokenizer_config.json')).not.toHaveProperty('auto_map');
    expect(readFileSync(join(out, 'tokenizer_config.json'), 'utf8')).toContain('1000000000000000019884624838656');
    expect(readFileSync(join(out, 'generation_config.json'), 'utf8')).toMatch(/"temperature": 2\.0/);
    expect(existsSync(join(out, 'modeling_own.py'))).toBe(false);
  });

  it('no quantization_config, because the weights are plain', async () => {
    const out = await merged({}, { quantization_config: { quant_method: 'bitsandbytes', load_in_4bit: true } });
    expect(json(out, 'config.json')).not.toHaveProperty('quantization_config');
    expect(openModel(out).info.notes.join()).not.toContain('quantized');
  });

  it('the class that has the head, where the base was saved by the one without', async () => {
    expect(json(await merged({}, { architectures: ['LlamaModel'] }), 'config.json')['architectures']).toEqual([
      'LlamaForCausalLM',
    ]);
    const own = ['OwnLMHeadModel'];
    expect(json(await merged({}, { architectures: own }), 'config.json')['architectures']).toEqual(own);
  });

  it.runIf(process.platform !== 'win32')('files behind links of a cache, but none from elsewhere', async () => {
    const cache = join(root, 'models--someone--linked');
    const snapshot = join(cache, 'snapshots', '0'.repeat(40));
    cpSync(golden('llama-tied'), snapshot, { recursive: true });
    mkdirSync(join(cache, 'blobs'));
    writeFileSync(join(cache, 'blobs', 'abc'), 'terms');
    symlinkSync('../../blobs/abc', join(snapshot, 'LICENSE'));
    const write = async () => {
      const out = mkdtempSync(join(root, 'linked-'));
      await writeHubFolder(out, exportSource(openModel(cache), [], null), 'F32', onProgress);
      return out;
    };
    const out = await write();
    expect([readFileSync(join(out, 'LICENSE'), 'utf8'), lstatSync(join(out, 'LICENSE')).isSymbolicLink()]).toEqual([
      'terms',
      false,
    ]);
    // A link to a file of the same name is one too: ~/.config/…/LICENSE may be anything.
    for (const name of ['NOTICE', 'USE_POLICY.md', 'vocab.json', 'extra.jinja']) {
      writeFileSync(join(root, name), 'secret');
      symlinkSync(join(root, name), join(snapshot, name));
      await expect(write()).rejects.toThrow(`${name}' is a link to '${join(realpathSync(root), name)}'`);
      rmSync(join(snapshot, name));
    }
    symlinkSync('/dev/zero', join(snapshot, 'vocab.json'));
    await expect(write()).rejects.toThrow(/vocab.json' is a link to '\/dev\/zero'/);
    rmSync(join(snapshot, 'vocab.json'));
    mkdirSync(join(root, 'private'));
    writeFileSync(join(root, 'private', 'passwd'), 'secret');
    symlinkSync(join(root, 'private'), join(snapshot, 'LICENSES'));
    await expect(write()).rejects.toThrow(/LICENSES' is a link to .*private/);
  });
});

it('a model that also sees keeps its eye: its tensors, and how pictures get to it', async () => {
  const source = mkdtempSync(join(root, 'sees-'));
  const text = openModel(golden('gemma3'));
  const {
    model_type,
    architectures: _,
    ...fields
  } = JSON.parse(readFileSync(join(golden('gemma3'), 'config.json'), 'utf8')) as Record<string, unknown>;
  const config = {
    ...{ model_type: 'gemma3', architectures: ['Gemma3ForConditionalGeneration'], vision_config: { hidden_size: 4 } },
    ...{ text_config: { model_type, ...fields }, tie_word_embeddings: text.spec.tiedEmbeddings },
  };
  writeFileSync(join(source, 'config.json'), JSON.stringify(config));
  writeFileSync(join(source, 'preprocessor_config.json'), '{"size": 8}');
  const own = text.weights.names.map((name) => ({
    name: name.replace(/^model\./, 'language_model.model.'),
    shape: text.weights.shape(name),
    values: text.weights.read(name),
  }));
  const eye = [
    { name: 'vision_tower.vision_model.post_layernorm.weight', shape: [4], values: Float32Array.of(1, -2, 3, 0.1) },
    { name: 'multi_modal_projector.mm_soft_emb_norm.weight', shape: [2, 1], values: Float32Array.of(0.3, 7) },
  ];
  const plan = [...own, ...eye].map(({ name, shape }) => ({ name, type: 'F32' as const, shape }));
  const writer = new SafetensorsWriter(join(source, 'model.safetensors'), plan);
  for (const { values } of [...own, ...eye]) writer.write(values);
  writer.finish();

  const model = openModel(source);
  const out = mkdtempSync(join(root, 'sees-merged-'));
  await writeHubFolder(out, exportSource(model, [], null), 'F32', onProgress);
  const merged = openModel(out);
  expect(merged.otherParts.map(({ name, load }) => [name, load()])).toEqual(eye.map(({ name, values }) => [name, values]));
  expect(merged.weights.names).toEqual(model.weights.names);
  expect(readFileSync(join(out, 'preprocessor_config.json'), 'utf8')).toBe('{"size": 8}');
  expect(notesOnParts(model, findTarget('safetensors', 'f32'))).toEqual([
    expect.stringContaining('2 tensors of its vision part'),
  ]);
  expect(notesOnParts(model, findTarget('gguf', 'f16'))).toEqual([expect.stringContaining('only its text part')]);
  for (const [of, format] of [
    [model, 'peft'],
    [text, 'safetensors'],
  ] as const)
    expect(notesOnParts(of, findTarget(format, null))).toEqual([]);
  const onnx = mkdtempSync(join(root, 'sees-onnx-'));
  await writeOnnxFolder(onnx, exportSource(model, [], null), 'f32', onProgress);
  expect(existsSync(join(onnx, 'preprocessor_config.json'))).toBe(false);
});

it('an ONNX folder says by a pattern what a digit is: its programs know only 0 to 9 by the name', async () => {
  const source = join(root, 'digits');
  const tiny = join(import.meta.dirname, '../../resources/tiny/model');
  cpSync(tiny, source, { recursive: true });
  const path = join(source, 'tokenizer.json');
  const bytes = { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: true };
  const digits = { type: 'Sequence', pretokenizers: [{ type: 'Digits', individual_digits: true }, bytes] };
  const json = JSON.parse(readFileSync(path, 'utf8')) as Record<string, unknown>;
  writeFileSync(path, JSON.stringify({ ...json, pre_tokenizer: digits }));
  const model = openModel(source);
  const out = mkdtempSync(join(root, 'onnx'));
  await writeOnnxFolder(out, exportSource(model, [], null), 'f32', onProgress);
  const written = readFileSync(join(out, 'tokenizer.json'), 'utf8');
  expect(written).not.toContain('"Digits"');
  const [before, after] = [source, out].map((folder) => {
    const tokenizerJson = readFileSync(join(folder, 'tokenizer.json'), 'utf8');
    return openTokenizer({ kind: 'hub', tokenizerJson, tokenizerConfig: {}, generationConfig: null, chatTemplate: null });
  });
  for (const text of ['in 2024: 12345', '½ x² Ⅻ ١٢٣', 'a1b22  333'])
    expect(await after!.encode(text)).toEqual(await before!.encode(text));
});
