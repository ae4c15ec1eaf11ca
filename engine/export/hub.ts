/** Writes a merged model as a hub folder that transformers loads as it is: config, weights, tokenizer, template, generation config. */
import { existsSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { writeFileAtomic } from '../formats/files.ts';
import { safetensorsSize, SafetensorsWriter, type FloatType, type SafetensorsPlan } from '../formats/safetensors.ts';
import type { OpenModel } from '../models/open.ts';
import { ropeInverseFrequencies, type DecoderSpec, type RopeSpec } from '../models/spec.ts';
import { Problem } from '../problem.ts';
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
  ...['merges.txt', 'chat_template.jinja', 'generation_config.json', 'LICENSE', 'LICENSE.txt', 'LICENSE.md', 'NOTICE'],
];

function plan(model: OpenModel, type: FloatType): SafetensorsPlan[] {
  return model.weights.names.map((name) => ({ name, type, shape: model.weights.shape(name) }));
}

export function hubFolderSize(model: OpenModel, type: FloatType): number {
  const { tokenizerSource } = model;
  const tokenizer =
    tokenizerSource?.kind === 'hub'
      ? Buffer.byteLength(tokenizerSource.tokenizerJson)
      : tokenizerSource === null
        ? 0
        : // One entry of tokenizer.json with its merge takes about this much.
          model.spec.vocabularySize * 48;
  return safetensorsSize(plan(model, type), { format: 'pt' }) + tokenizer;
}

export async function writeHubFolder(folder: string, source: ExportSource, type: FloatType, step: Step): Promise<void> {
  const { model, weights, tokenizer } = source;
  if (model.format === 'hub') {
    for (const name of carriedFiles)
      if (existsSync(join(model.path, name)) && statSync(join(model.path, name)).isFile())
        writeFileAtomic(join(folder, name), readFileSync(join(model.path, name)));
  } else if (tokenizer) {
    for (const [name, text] of Object.entries(tokenizer.toHubFiles())) writeFileAtomic(join(folder, name), text);
  }
  writeFileAtomic(join(folder, 'config.json'), `${JSON.stringify(makeConfig(source, dtypes[type]), null, 2)}\n`);
  const writer = new SafetensorsWriter(join(folder, 'model.safetensors'), plan(model, type));
  try {
    for (const [done, name] of weights.names.entries()) {
      await step(done, weights.names.length);
      writer.write(weights.read(name));
    }
    writer.finish();
  } finally {
    writer.abort();
  }
}

function makeConfig({ model, tokenizer }: ExportSource, dtype: string): Record<string, unknown> {
  const { spec } = model;
  if (model.format === 'hub') {
    const config = JSON.parse(readFileSync(join(model.path, 'config.json'), 'utf8').replace(/^\uFEFF/, '')) as Record<
      string,
      unknown
    >;
    const { torch_dtype: older, ...rest } = config;
    return older === undefined ? { ...config, dtype } : { ...rest, torch_dtype: dtype };
  }
  return {
    architectures: ['LlamaForCausalLM'],
    model_type: spec.family,
    hidden_size: spec.hiddenSize,
    intermediate_size: spec.intermediateSize,
    num_hidden_layers: spec.layers,
    num_attention_heads: spec.heads,
    num_key_value_heads: spec.keyValueHeads,
    head_dim: spec.headDim,
    hidden_act: spec.activation,
    vocab_size: spec.vocabularySize,
    max_position_embeddings: spec.contextLength,
    rms_norm_eps: spec.normEpsilon,
    attention_bias: spec.attentionBias,
    mlp_bias: spec.mlpBias,
    tie_word_embeddings: spec.tiedEmbeddings,
    rope_theta: spec.rope.theta,
    rope_scaling: ropeScaling(spec),
    ...(tokenizer?.bos == null ? {} : { bos_token_id: tokenizer.bos }),
    ...(tokenizer?.eos == null ? {} : { eos_token_id: tokenizer.eos }),
    torch_dtype: dtype,
  };
}

function ropeScaling(spec: DecoderSpec): Record<string, unknown> | null {
  const scaling = spec.rope.scaling.kind === 'factors' ? llama3Scaling(spec.rope) : spec.rope.scaling;
  switch (scaling.kind) {
    case 'none':
      return null;
    case 'linear':
      return { rope_type: 'linear', factor: scaling.factor };
    case 'llama3':
      return {
        rope_type: 'llama3',
        factor: scaling.factor,
        low_freq_factor: scaling.lowFrequencyFactor,
        high_freq_factor: scaling.highFrequencyFactor,
        original_max_position_embeddings: scaling.originalContextLength,
      };
    case 'factors':
      throw new Problem(
        'export-unsupported',
        'The divisors of the rotary embedding in this GGUF follow no rule that config.json can express.',
        'Export a GGUF instead.',
      );
  }
}

/** GGUF keeps the divisors of llama3's rule, not its parameters: the published parameters that give these divisors, if any do. */
function llama3Scaling(rope: RopeSpec): RopeSpec['scaling'] {
  const { scaling } = rope;
  if (scaling.kind !== 'factors') return scaling;
  const target = ropeInverseFrequencies(rope);
  const factor = Number(Math.max(...scaling.factors).toPrecision(6));
  for (let originalContextLength = 32; originalContextLength <= 1 << 20; originalContextLength *= 2) {
    const candidate = { kind: 'llama3', factor, lowFrequencyFactor: 1, highFrequencyFactor: 4, originalContextLength } as const;
    const found = ropeInverseFrequencies({ ...rope, scaling: candidate });
    if (found.every((frequency, i) => Math.abs(frequency / target[i]! - 1) < 1e-5)) return candidate;
  }
  return scaling;
}
