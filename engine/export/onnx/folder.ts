/**
 * Writes one folder that transformers.js and onnxruntime-genai load: config, tokenizer and template as on the hub,
 * `onnx/model*.onnx` with its data file, and `genai_config.json`.
 */
import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { tensorView, type AdaptedModule, type Adapter, type AdapterShape } from '../../adapters/adapter.ts';
import { AtomicFile, writeFileAtomic } from '../../formats/files.ts';
import { writeOnnxAdapter, type OnnxParameter } from '../../formats/onnx-adapter.ts';
import { encodeModel } from '../../graph/onnx.ts';
import type { OpenModel } from '../../models/open.ts';
import { attentionOf } from '../../models/mixers/index.ts';
import type { DecoderSpec } from '../../models/spec.ts';
import { Problem } from '../../problem.ts';
import { noPlaceFor, notInFactors, onlyAdapter } from '../adapter-export.ts';
import { hubFilesSize, makeConfig, writeHubFiles } from '../hub.ts';
import type { OnProgress } from '../progress.ts';
import { exportSource, type ExportSource } from '../source.ts';
import { attentionRefusal } from './attention.ts';
import { buildOnnxGraph, factorNames } from './graph.ts';
import { WeightStore, type OnnxPrecision } from './weights.ts';

/** Holds the endings of the file's name by which transformers.js recognizes a precision. */
const suffixes: Readonly<Record<OnnxPrecision, string>> = { f32: '', f16: '_fp16', q8: '_quantized', q4: '_q4' };

export function onnxModelFile(precision: OnnxPrecision): string {
  return `model${suffixes[precision]}.onnx`;
}

export function onnxFolderSize(model: OpenModel, precision: OnnxPrecision): number {
  const store = new WeightStore('', model.spec, model.weights, precision);
  const graph = encodeModel(buildOnnxGraph(model.spec, store), (path) => path);
  return store.size + graph.length + hubFilesSize(model);
}

export async function writeOnnxFolder(
  folder: string,
  source: ExportSource,
  precision: OnnxPrecision,
  onProgress: OnProgress,
  adapted: readonly AdaptedModule[] = [],
): Promise<void> {
  const { spec } = source.model;
  const refusal = attentionRefusal(spec);
  if (refusal !== null) throw refusal;
  const file = onnxModelFile(precision);
  const store = new WeightStore(`${file}_data`, spec, source.weights, precision);
  const graph = buildOnnxGraph(spec, store, adapted);
  writeHubFiles(folder, source, {
    ...ofTextPart(makeConfig(source, 'float32')),
    'transformers.js_config': { use_external_data_format: { [file]: 1 } },
  });
  // Other readers than transformers take the flags of added tokens from this file alone.
  const files = source.tokenizer?.toHubFiles();
  if (files !== undefined) writeFileAtomic(join(folder, 'tokenizer.json'), files['tokenizer.json']);
  spellOutDigits(join(folder, 'tokenizer.json'));
  writeFileAtomic(join(folder, 'genai_config.json'), `${JSON.stringify(genaiConfig(source, file), null, 2)}\n`);
  mkdirSync(join(folder, 'onnx'));
  const data = new AtomicFile(join(folder, 'onnx', `${file}_data`));
  try {
    for (const [done, { offset, read }] of store.planned.entries()) {
      await onProgress(done, store.planned.length);
      data.write(new Uint8Array(offset - data.position));
      data.write(read());
    }
    data.finish();
  } finally {
    data.abort();
  }
  writeFileAtomic(
    join(folder, 'onnx', file),
    encodeModel(graph, (path) => path),
  );
}

/**
 * Returns the config of the text part, because the graph is the text part of a model that also sees: transformers.js would look
 * for the vision tower.
 */
function ofTextPart(config: Record<string, unknown>): Record<string, unknown> {
  const { text_config: text, vision_config: _, architectures: __, ...shared } = config;
  return typeof text === 'object' && text !== null ? { ...shared, ...text } : config;
}

/**
 * Writes the digits of the tokenizer out as a pattern, so that all readers split alike: the hub's tokenizers take every number
 * of Unicode for a digit, transformers.js only 0 to 9, and onnxruntime-genai splits at none.
 */
function spellOutDigits(path: string): void {
  if (!existsSync(path)) return;
  const json = JSON.parse(readFileSync(path, 'utf8')) as Record<string, unknown>;
  const spelled = JSON.stringify(json['pre_tokenizer'], (_, value: unknown) => {
    const step = value as { type?: unknown; individual_digits?: unknown } | null;
    if (step?.type !== 'Digits') return value;
    const pattern = { Regex: step.individual_digits === true ? '\\p{N}' : '\\p{N}+' };
    return { type: 'Split', pattern, behavior: 'Isolated', invert: false };
  });
  if (spelled === JSON.stringify(json['pre_tokenizer'])) return;
  writeFileAtomic(path, JSON.stringify({ ...json, pre_tokenizer: JSON.parse(spelled) as unknown }));
}

export const onnxAdapterName = 'adapter.onnx_adapter';

/**
 * Writes the base with the adapter beside it. onnxruntime adds an adapter file to the runs that ask for it, and not to others.
 */
export async function writeOnnxAdapterFolder(
  folder: string,
  { base, adapters, tokenizer, lineage, conversations }: ExportSource,
  precision: OnnxPrecision,
  onProgress: OnProgress,
): Promise<void> {
  const { shape, parameters } = onlyAdapter(adapters);
  const refusal = onnxAdapterRefusal(base.spec, shape);
  if (refusal !== null) throw refusal;
  await writeOnnxFolder(
    folder,
    exportSource(base, [], tokenizer, { lineage, conversations }),
    precision,
    onProgress,
    shape.modules,
  );
  writeOnnxAdapter(join(folder, onnxAdapterName), onnxFactors({ shape, parameters }));
}

/** Returns an adapter's factors as the graph takes them, with the scale of each product in its B. */
export function onnxFactors({ shape, parameters }: Pick<Adapter, 'shape' | 'parameters'>): OnnxParameter[] {
  return shape.modules.flatMap((module): OnnxParameter[] => {
    const { a, b, scale } = module;
    const names = factorNames(module);
    return [
      { name: names.a, shape: a.shape, values: tensorView(parameters, a) },
      { name: names.b, shape: b.shape, values: tensorView(parameters, b).map((value) => value * scale) },
    ];
  });
}

export function onnxAdapterSize(model: OpenModel, { modules, length }: AdapterShape, precision: OnnxPrecision): number {
  return onnxFolderSize(model, precision) + 4 * length + modules.length * 900;
}

export function onnxAdapterRefusal(spec: DecoderSpec, shape: AdapterShape): Problem | null {
  const odd = shape.modules.find(({ kind, magnitude }) => kind === 'embedding' || magnitude !== null);
  const what =
    odd === undefined
      ? notInFactors(spec, shape)
      : odd.magnitude === null
        ? `the embedding ('${odd.path}')`
        : `the magnitudes of DoRA ('${odd.path}')`;
  return attentionRefusal(spec) ?? (what === null ? null : noPlaceFor(what, 'onnxruntime'));
}

/**
 * Holds the types of onnxruntime-genai whose text models all run alike; the name only chooses the defaults of tokenizer and
 * template.
 */
const genaiTypes = new Set([
  'gemma',
  'gemma2',
  'gemma3_text',
  'granite',
  'llama',
  'mistral',
  'olmo',
  'phi',
  'phi3',
  'qwen2',
  'qwen3',
  'smollm3',
]);

function genaiConfig({ model: { spec }, tokenizer }: ExportSource, file: string): unknown {
  const positions = spec.ropes.length > 0 || spec.learnedPositions !== null;
  const ends = tokenizer?.stopTokens ?? [];
  // Keys and values have one size in all blocks; otherwise the export was refused.
  const { heads, keyValueHeads, headDim } = attentionOf(spec.blocks[0]!);
  return {
    model: {
      type: genaiTypes.has(spec.family) ? spec.family : 'decoder',
      vocab_size: spec.vocabularySize,
      context_length: spec.contextLength,
      bos_token_id: tokenizer?.bos ?? 0,
      eos_token_id: ends.length === 1 ? ends[0] : ends,
      pad_token_id: tokenizer?.padding ?? ends[0] ?? 0,
      decoder: {
        session_options: { log_id: 'onnxruntime-genai', provider_options: [] },
        filename: `onnx/${file}`,
        head_size: headDim,
        hidden_size: spec.hiddenSize,
        num_attention_heads: heads,
        num_key_value_heads: keyValueHeads,
        num_hidden_layers: spec.blocks.length,
        inputs: {
          input_ids: 'input_ids',
          attention_mask: 'attention_mask',
          ...(positions ? { position_ids: 'position_ids' } : {}),
          past_key_names: 'past_key_values.%d.key',
          past_value_names: 'past_key_values.%d.value',
        },
        outputs: {
          logits: 'logits',
          present_key_names: 'present.%d.key',
          present_value_names: 'present.%d.value',
        },
      },
    },
    search: { do_sample: false, max_length: spec.contextLength, min_length: 0, num_beams: 1, past_present_share_buffer: false },
  };
}
