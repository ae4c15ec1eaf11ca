import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
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
const step = async () => {};

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
    await writeHubFolder(out, exportSource(model, [], null), 'F32', step);
    const text = readFileSync(join(out, 'config.json'), 'utf8');
    expect(text).toContain('"final_logit_softcapping": 30.0');
    expect(text).toContain('"initializer_range": 1.0');
    expect(text).toMatch(/"num_hidden_layers": \d+,/);
  });

  it('made of a GGUF has them too', async () => {
    const model = openModel(golden('gemma2'));
    const gguf = join(root, 'gemma2.gguf');
    const whole = { ...model.spec, head: { ...model.spec.head, cap: 30 } };
    await writeGguf(gguf, exportSource({ ...model, spec: whole }, [], null), 'f32', step);
    const opened = openModel(gguf);
    const out = mkdtempSync(join(root, 'of-gguf'));
    await writeHubFolder(out, exportSource(opened, [], null), 'F32', step);
    expect(readFileSync(join(out, 'config.json'), 'utf8')).toContain('"final_logit_softcapping": 30.0');
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
  await writeHubFolder(out, exportSource(model, [], null), 'F32', step);
  const merged = openModel(out);
  expect(merged.otherParts.map(({ name, load }) => [name, load()])).toEqual(eye.map(({ name, values }) => [name, values]));
  expect(merged.weights.names).toEqual(model.weights.names);
  expect(readFileSync(join(out, 'preprocessor_config.json'), 'utf8')).toBe('{"size": 8}');
  expect(notesOnParts(model, findTarget('safetensors', 'f32'))).toEqual([expect.stringContaining('2 tensors of its eye')]);
  expect(notesOnParts(model, findTarget('gguf', 'f16'))).toEqual([expect.stringContaining('text part alone')]);
  for (const [of, format] of [
    [model, 'peft'],
    [text, 'safetensors'],
  ] as const)
    expect(notesOnParts(of, findTarget(format, null))).toEqual([]);
  const onnx = mkdtempSync(join(root, 'sees-onnx-'));
  await writeOnnxFolder(onnx, exportSource(model, [], null), 'f32', step);
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
  await writeOnnxFolder(out, exportSource(model, [], null), 'f32', step);
  const written = readFileSync(join(out, 'tokenizer.json'), 'utf8');
  expect(written).not.toContain('"Digits"');
  const [before, after] = [source, out].map((folder) => {
    const tokenizerJson = readFileSync(join(folder, 'tokenizer.json'), 'utf8');
    return openTokenizer({ kind: 'hub', tokenizerJson, tokenizerConfig: {}, generationConfig: null, chatTemplate: null });
  });
  for (const text of ['in 2024: 12345', '½ x² Ⅻ ١٢٣', 'a1b22  333'])
    expect(await after!.encode(text)).toEqual(await before!.encode(text));
});
