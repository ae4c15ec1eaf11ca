/**
 * Writes a merged model as a hub folder that transformers loads as it is: config, weights, tokenizer, template, generation
 * config.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { writeFileAtomic } from '../formats/files.ts';
import { safetensorsSize, type FloatType, type SafetensorsPlan } from '../formats/safetensors.ts';
import type { OpenModel } from '../models/open.ts';
import { configOf, hubLayout, hubParts } from '../models/families/index.ts';
import { packingFields } from '../models/packed.ts';
import { modelTensors, type DecoderSpec } from '../models/spec.ts';
import { carryFiles } from './carried.ts';
import { lineageMetadata } from './lineage.ts';
import { planShards, ShardedWriter, usualShardBytes } from './shards.ts';
import type { OnProgress } from './progress.ts';
import type { ExportSource } from './source.ts';

const dtypes: Record<FloatType, string> = { F32: 'float32', F16: 'float16', BF16: 'bfloat16' };

function plannedTensors(model: OpenModel, type: FloatType): SafetensorsPlan[] {
  const ofText = modelTensors(model.spec).flatMap((tensor) => {
    const parts = hubParts(tensor, model.spec);
    if (parts !== null) return parts.map((name) => ({ name, type, shape: tensor.shape.slice(1) }));
    const shape = hubLayout(tensor, model.spec)?.storedShape(tensor.shape) ?? tensor.shape;
    return [{ name: tensor.name, type, shape }];
  });
  return [...ofText, ...model.otherParts.map(({ name, shape }) => ({ name, type, shape }))];
}

/** Estimates the bytes of a hub folder. */
export function hubFolderSize(model: OpenModel, type: FloatType): number {
  return safetensorsSize(plannedTensors(model, type), { format: 'pt' }) + hubFilesSize(model);
}

/** Estimates the bytes of config and tokenizer. */
export function hubFilesSize({ tokenizerSource, spec }: OpenModel): number {
  if (tokenizerSource === null) return 0;
  // One entry of tokenizer.json with its merge takes about this much.
  return tokenizerSource.kind === 'hub' ? Buffer.byteLength(tokenizerSource.tokenizerJson) : spec.vocabularySize * 48;
}

/** Writes a hub folder. Weights are split into files of at most `shardBytes`; `onProgress` is called for each tensor. */
export async function writeHubFolder(
  folder: string,
  source: ExportSource,
  type: FloatType,
  onProgress: OnProgress,
  shardBytes = usualShardBytes,
): Promise<void> {
  const { model, weights, lineage } = source;
  writeHubFiles(folder, source, makeConfig(source, dtypes[type]), model.otherParts.length > 0);
  const metadata = { format: 'pt', ...lineageMetadata(lineage) };
  const writer = new ShardedWriter(folder, planShards(plannedTensors(model, type), shardBytes), metadata);
  try {
    const tensors = modelTensors(model.spec);
    const total = tensors.length + model.otherParts.length;
    for (const [done, tensor] of tensors.entries()) {
      await onProgress(done, total);
      const values = weights.read(tensor.name);
      const inFile = hubLayout(tensor, model.spec)?.toFile(values, tensor.shape) ?? values;
      const length = inFile.length / (hubParts(tensor, model.spec)?.length ?? 1);
      for (let start = 0; start < inFile.length; start += length) writer.write(inFile.subarray(start, start + length));
    }
    for (const [done, part] of model.otherParts.entries()) {
      await onProgress(tensors.length + done, total);
      writer.write(part.load());
    }
    writer.finish();
  } finally {
    writer.abort();
  }
}

/**
 * Writes what a hub folder has besides weights: config, tokenizer, templates, generation config and terms of use. `sees` adds
 * the files for pictures.
 */
export function writeHubFiles(
  folder: string,
  { model, tokenizer }: ExportSource,
  config: Record<string, unknown>,
  sees = false,
): void {
  const isOwn = model.format === 'hub' && model.tokenizerFolder === null;
  if (model.format === 'hub') carryFiles(model.path, folder, { tokenizer: isOwn, sees });
  if (!isOwn && tokenizer) {
    for (const [name, text] of Object.entries(tokenizer.toHubFiles())) writeFileAtomic(join(folder, name), text);
  }
  const spelled = model.format === 'hub' ? readFileSync(join(model.path, 'config.json'), 'utf8') : '';
  writeFileAtomic(join(folder, 'config.json'), `${withFloats(JSON.stringify(config, null, 2), spelled)}\n`);
}

/** Lists config fields, written here, that transformers accepts as floats only. */
const floatFields = ['attn_logit_softcapping', 'clip_qkv', 'final_logit_softcapping', 'logit_scale'];

/**
 * Gives whole numbers back the float form that they have in `spelled`. JavaScript writes 30.0 as 30, which transformers refuses
 * where it wants a float.
 */
function withFloats(json: string, spelled: string): string {
  const names = new Set([
    ...floatFields,
    ...Array.from(spelled.matchAll(/"(\w+)"\s*:\s*-?\d+\.0*(?!\d)/g), ([, name]) => name!),
  ]);
  return json.replace(/"(\w+)": (-?\d+)(?=,?\n)/g, (field, name: string) => (names.has(name) ? `${field}.0` : field));
}

/** Makes config.json for weights of the type `dtype`. */
export function makeConfig({ model, tokenizer }: ExportSource, dtype: string): Record<string, unknown> {
  const { spec } = model;
  if (model.format === 'hub') {
    const config = JSON.parse(readFileSync(join(model.path, 'config.json'), 'utf8').replace(/^\uFEFF/, '')) as Record<
      string,
      unknown
    >;
    const { torch_dtype: older, ...rest } = withoutLeftBehind(config);
    // Without the field transformers takes the family's default, which holds unless the head was untied from the embedding.
    const tied = spec.tiedEmbeddings ? {} : { tie_word_embeddings: false };
    const ends = model.tokenizerFolder === null || tokenizer?.eos == null ? {} : { eos_token_id: tokenizer.eos };
    const changed = { ...withVocabulary(rest, spec), ...tied, ...withHead(rest, spec), ...ends };
    return { ...changed, ...(older === undefined ? { dtype } : { torch_dtype: dtype }) };
  }
  return {
    ...configOf(spec),
    ...(tokenizer?.bos == null ? {} : { bos_token_id: tokenizer.bos }),
    ...(tokenizer?.eos == null ? {} : { eos_token_id: tokenizer.eos }),
    ...(tokenizer?.padding == null ? {} : { pad_token_id: tokenizer.padding }),
    torch_dtype: dtype,
  };
}

/**
 * Drops the fields that no longer hold. The weights are not quantized, and the code that `auto_map` names is not copied,
 * because transformers has every family that can be opened here (decision 12).
 */
function withoutLeftBehind(config: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const dropped = new Set<string>(['auto_map', ...packingFields]);
  const kept = Object.entries(config).filter(([key]) => !dropped.has(key));
  return Object.fromEntries(
    kept.map(([key, value]) => [
      key,
      key === 'text_config' && typeof value === 'object' && value !== null
        ? withoutLeftBehind(value as Record<string, unknown>)
        : value,
    ]),
  );
}

/** Returns the class with a head where the base was saved by its class without one, because the export includes the head. */
function withHead({ architectures, text_config: text }: Readonly<Record<string, unknown>>, spec: DecoderSpec): object {
  const headless =
    Array.isArray(architectures) && architectures.every((name) => /Model$/.test(name) && !/HeadModel$/.test(name));
  return headless && text === undefined ? { architectures: configOf(spec)['architectures'] } : {};
}

/** Updates the vocabulary size that an adapter has changed, wherever the config states it. */
function withVocabulary(config: Record<string, unknown>, { vocabularySize }: DecoderSpec): Record<string, unknown> {
  const sized = (of: object): object => ('vocab_size' in of ? { ...of, vocab_size: vocabularySize } : of);
  const text = config['text_config'];
  const inner = typeof text === 'object' && text !== null ? { text_config: { ...sized(text) } } : {};
  return { ...sized(config), ...inner };
}
