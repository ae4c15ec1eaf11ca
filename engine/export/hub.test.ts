import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { openTokenizer } from '../data/tokenizer.ts';
import { SafetensorsWriter } from '../formats/safetensors.ts';
import { openModel } from '../models/open.ts';
import { modelTensors } from '../models/spec.ts';
import { writeGguf } from './gguf.ts';
import { writeHubFolder } from './hub.ts';
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

it('an ONNX folder of a model that also sees has the config of its text part, which is what its graph is', async () => {
  const source = join(root, 'seeing');
  cpSync(golden('gemma3'), source, { recursive: true });
  const path = join(source, 'config.json');
  const text = JSON.parse(readFileSync(path, 'utf8')) as Record<string, unknown>;
  writeFileSync(path, JSON.stringify({ model_type: 'gemma3', vision_config: {}, text_config: text }));
  const plain = openModel(golden('gemma3'));
  const tensors = modelTensors(plain.spec).map(({ name, shape }) => ({
    name: `language_model.${name}`,
    shape,
    type: 'F32' as const,
  }));
  const writer = new SafetensorsWriter(join(source, 'model.safetensors'), tensors);
  for (const { name } of modelTensors(plain.spec)) writer.write(plain.weights.read(name));
  writer.finish();
  const model = openModel(source);
  expect(model.spec.family).toBe('gemma3');
  const out = mkdtempSync(join(root, 'onnx-'));
  await writeOnnxFolder(out, exportSource(model, [], null), 'f32', step);
  const written = JSON.parse(readFileSync(join(out, 'config.json'), 'utf8')) as Record<string, unknown>;
  expect(written).toMatchObject({ model_type: text['model_type'], hidden_size: text['hidden_size'] });
  expect(written).not.toHaveProperty('text_config');
  expect(written).not.toHaveProperty('vision_config');
});
