/** Writes a merged model as a hub folder that transformers loads as it is: config, weights, tokenizer, template, generation config. */
import { existsSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { writeFileAtomic } from '../formats/files.ts';
import { safetensorsSize, type FloatType, type SafetensorsPlan } from '../formats/safetensors.ts';
import type { OpenModel } from '../models/open.ts';
import { configOf, hubLayout, hubParts } from '../models/families/index.ts';
import { modelTensors } from '../models/spec.ts';
import { lineageMetadata } from './lineage.ts';
import { planShards, ShardedWriter, usualShardBytes } from './shards.ts';
import type { ExportSource, Step } from './source.ts';

const dtypes: Record<FloatType, string> = { F32: 'float32', F16: 'float16', BF16: 'bfloat16' };

/** Files of a hub folder that are no weights and belong to the merged model just as to its base. */
const carriedFiles = [
  ...[
    'tokenizer.json',
    'tokenizer_config.json',
    'special_tokens_map.json',
    'added_tokens.json',
    'tokenizer.model',
    'vocab.json',
  ],
  ...[
    'merges.txt',
    'chat_template.jinja',
    'chat_template.json',
    'generation_config.json',
    'LICENSE',
    'LICENSE.txt',
    'LICENSE.md',
    'NOTICE',
  ],
];

/** How a model that also sees takes pictures in. */
const processorFiles = ['preprocessor_config.json', 'processor_config.json'];

function plan(model: OpenModel, type: FloatType): SafetensorsPlan[] {
  const ofText = modelTensors(model.spec).flatMap((tensor) => {
    const parts = hubParts(tensor, model.spec);
    if (parts !== null) return parts.map((name) => ({ name, type, shape: tensor.shape.slice(1) }));
    const shape = hubLayout(tensor, model.spec)?.storedShape(tensor.shape) ?? tensor.shape;
    return [{ name: tensor.name, type, shape }];
  });
  return [...ofText, ...model.otherParts.map(({ name, shape }) => ({ name, type, shape }))];
}

export function hubFolderSize(model: OpenModel, type: FloatType): number {
  return safetensorsSize(plan(model, type), { format: 'pt' }) + hubFilesSize(model);
}

/** About what config and tokenizer take. */
export function hubFilesSize({ tokenizerSource, spec }: OpenModel): number {
  if (tokenizerSource === null) return 0;
  // One entry of tokenizer.json with its merge takes about this much.
  return tokenizerSource.kind === 'hub' ? Buffer.byteLength(tokenizerSource.tokenizerJson) : spec.vocabularySize * 48;
}

export async function writeHubFolder(
  folder: string,
  source: ExportSource,
  type: FloatType,
  step: Step,
  shardBytes = usualShardBytes,
): Promise<void> {
  writeHubFiles(folder, source, makeConfig(source, dtypes[type]));
  const { model, weights, lineage } = source;
  if (model.otherParts.length > 0) carry(processorFiles, model.path, folder);
  const metadata = { format: 'pt', ...lineageMetadata(lineage) };
  const writer = new ShardedWriter(folder, planShards(plan(model, type), shardBytes), metadata);
  try {
    const tensors = modelTensors(model.spec);
    const total = tensors.length + model.otherParts.length;
    for (const [done, tensor] of tensors.entries()) {
      await step(done, total);
      const values = weights.read(tensor.name);
      const inFile = hubLayout(tensor, model.spec)?.toFile(values, tensor.shape) ?? values;
      const length = inFile.length / (hubParts(tensor, model.spec)?.length ?? 1);
      for (let start = 0; start < inFile.length; start += length) writer.write(inFile.subarray(start, start + length));
    }
    for (const [done, part] of model.otherParts.entries()) {
      await step(tensors.length + done, total);
      writer.write(part.load());
    }
    writer.finish();
  } finally {
    writer.abort();
  }
}

/** Config, tokenizer, template and generation config: what a hub folder has besides weights. */
export function writeHubFiles(folder: string, { model, tokenizer }: ExportSource, config: Record<string, unknown>): void {
  if (model.format === 'hub') {
    carry(carriedFiles, model.path, folder);
  } else if (tokenizer) {
    for (const [name, text] of Object.entries(tokenizer.toHubFiles())) writeFileAtomic(join(folder, name), text);
  }
  const spelled = model.format === 'hub' ? readFileSync(join(model.path, 'config.json'), 'utf8') : '';
  writeFileAtomic(join(folder, 'config.json'), `${withFloats(JSON.stringify(config, null, 2), spelled)}\n`);
}

function carry(names: readonly string[], from: string, to: string): void {
  for (const name of names)
    if (existsSync(join(from, name)) && statSync(join(from, name)).isFile())
      writeFileAtomic(join(to, name), readFileSync(join(from, name)));
}

/** What transformers takes as a float and nothing else, in configs that are made here. */
const floatFields = ['attn_logit_softcapping', 'clip_qkv', 'final_logit_softcapping', 'logit_scale'];

/** JavaScript writes 30.0 as 30, which transformers refuses where it wants a float: whole numbers get back the form that `spelled` has. */
function withFloats(json: string, spelled: string): string {
  const names = new Set([
    ...floatFields,
    ...Array.from(spelled.matchAll(/"(\w+)"\s*:\s*-?\d+\.0*(?!\d)/g), ([, name]) => name!),
  ]);
  return json.replace(/"(\w+)": (-?\d+)(?=,?\n)/g, (field, name: string) => (names.has(name) ? `${field}.0` : field));
}

/** config.json for weights of a type. */
export function makeConfig({ model, tokenizer }: ExportSource, dtype: string): Record<string, unknown> {
  const { spec } = model;
  if (model.format === 'hub') {
    const config = JSON.parse(readFileSync(join(model.path, 'config.json'), 'utf8').replace(/^\uFEFF/, '')) as Record<
      string,
      unknown
    >;
    const { torch_dtype: older, ...rest } = config;
    // Left out, it means what the family is used to, which is what the model is unless it was parted from its head.
    const tied = spec.tiedEmbeddings ? {} : { tie_word_embeddings: false };
    return { ...rest, ...tied, ...(older === undefined ? { dtype } : { torch_dtype: dtype }) };
  }
  return {
    ...configOf(spec),
    ...(tokenizer?.bos == null ? {} : { bos_token_id: tokenizer.bos }),
    ...(tokenizer?.eos == null ? {} : { eos_token_id: tokenizer.eos }),
    torch_dtype: dtype,
  };
}
