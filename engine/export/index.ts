/**
 * Lists the exports in one table: what each format is, where it runs, how large it gets, how it is written, and what its proof
 * must hold.
 */
import { join } from 'node:path';
import type { ExportChoice, ExportFormat, Quantization } from '../contract.ts';
import type { OpenModel } from '../models/open.ts';
import type { DecoderSpec } from '../models/spec.ts';
import { Problem } from '../problem.ts';
import type { FloatType } from '../formats/safetensors.ts';
import { noAdapterShape, type AdapterShape } from '../adapters/adapter.ts';
import { writeAdapterFiles } from '../adapters/folder.ts';
import { onlyAdapter } from './adapter-export.ts';
import { ggufFileSize, ggufRefusal, writeGguf } from './gguf.ts';
import { hubFolderSize, writeHubFolder } from './hub.ts';
import { proofLimits, type ProofLimits } from './limits.ts';
import { loraGgufRefusal, loraGgufSize, writeLoraGguf } from './lora-gguf.ts';
import { mergedSpec } from './merge.ts';
import { mlxFolderSize, mlxRefusal, writeMlxAdapter } from './mlx.ts';
import { ollamaGguf, writeOllamaFolder } from './ollama/folder.ts';
import { onnxAdapterRefusal, onnxAdapterSize, onnxFolderSize, writeOnnxAdapterFolder, writeOnnxFolder } from './onnx/folder.ts';
import { attentionRefusal } from './onnx/attention.ts';
import type { OnnxPrecision } from './onnx/weights.ts';
import type { GgufQuantization } from './quant-mix.ts';
import type { OnProgress } from './progress.ts';
import type { ExportSource } from './source.ts';

export interface ExportTarget {
  readonly format: ExportFormat;
  readonly quantization: Quantization | null;
  readonly title: string;
  /** Says in one sentence where the format runs. */
  readonly runsIn: string;
  /** Says whether the result is a folder; a file if not. */
  readonly folder: boolean;
  readonly limits: ProofLimits;
  /** Gives the path of the model within the folder, where the folder itself is not the model. */
  readonly modelFile?: string;
  /** Says whether the result is the adapter alone; a whole model with the adapters merged if not. */
  readonly adapterOnly: boolean;
  /** Returns why the format cannot hold a model or an adapter of it, or null. A format without this method can hold all. */
  refusal?(spec: DecoderSpec, shape: AdapterShape): Problem | null;
  /** Estimates the bytes of the result before anything is written. */
  bytes(model: OpenModel, shape: AdapterShape): number;
  /** Writes the result at `path`, which lies beside its final place and does not exist yet, except as an empty folder. */
  write(path: string, source: ExportSource, onProgress: OnProgress): Promise<void>;
}

export const exportTargets: readonly ExportTarget[] = [
  {
    format: 'peft',
    quantization: null,
    title: 'PEFT adapter',
    runsIn: 'Runs in transformers with PEFT, and here, on top of the base model.',
    folder: true,
    adapterOnly: true,
    limits: proofLimits.f32,
    bytes: (_, shape) => shape.length * 4 + shape.tensors.length * 160 + 1024,
    async write(path, { base, adapters, tokenizer }, onProgress) {
      const adapter = onlyAdapter(adapters);
      await onProgress(0, 1);
      writeAdapterFiles(path, adapter, {
        baseName: adapter.config.base ?? base.info.name,
        tokenizer: base.tokenizerFolder === null ? null : tokenizer,
      });
    },
  },
  {
    format: 'lora-gguf',
    quantization: null,
    title: 'LoRA adapter, GGUF',
    runsIn: 'Runs in llama.cpp on top of a GGUF of the base model (--lora).',
    folder: false,
    adapterOnly: true,
    limits: proofLimits.f32,
    refusal: (spec, shape) => ggufRefusal(spec) ?? loraGgufRefusal(spec, shape),
    bytes: ({ spec }, shape) => loraGgufSize(spec, shape),
    write: writeLoraGguf,
  },
  {
    format: 'mlx',
    quantization: null,
    title: 'mlx-lm adapter',
    runsIn: 'Runs in mlx-lm on Apple silicon, on top of the base model (--adapter-path).',
    folder: true,
    adapterOnly: true,
    limits: proofLimits.f32,
    refusal: mlxRefusal,
    bytes: (_, shape) => mlxFolderSize(shape),
    write: writeMlxAdapter,
  },
  hub('f32', 'F32', 'Merged model, safetensors, float32', 'Runs in transformers, vLLM and MLX; exact, and the largest.'),
  hub('f16', 'F16', 'Merged model, safetensors, half precision', 'Runs in transformers, vLLM and MLX.'),
  hub(
    'bf16',
    'BF16',
    'Merged model, safetensors, bfloat16',
    'Runs in transformers, vLLM and MLX; half the size, as most are trained.',
  ),
  gguf('f16', 'half precision', 'about exact.'),
  gguf('q8_0', '8 bit', 'half the size for a tiny loss.'),
  gguf('q6_k', '6 bit', 'hard to tell from 8 bit.'),
  gguf('q5_k_m', '5 bit', 'a small loss.'),
  gguf('q4_k_m', '4 bit', 'the usual choice: a quarter of the size for a loss most tasks bear.'),
  gguf('q3_k_m', '3 bit', 'for large models on small machines; the loss shows.'),
  gguf('q2_k', '2 bit', 'the smallest; often loses what was learned.'),
  gguf('q5_1', '5 bit, older kind with minimum', 'needs importance measured on data, or answers can be nonsense.'),
  gguf('q5_0', '5 bit, older kind', 'where the newer kinds are slow.'),
  gguf('q4_1', '4 bit, older kind with minimum', 'needs importance measured on data, or answers can be nonsense.'),
  gguf('q4_0', '4 bit, older kind', 'fast on ARM processors.'),
  gguf('bf16', 'bfloat16', 'as most models are trained.'),
  gguf('f32', 'float32', 'exact, and the largest.'),
  ...(['q8_0', 'q6_k', 'q5_k_m', 'q4_k_m', 'q4_0', 'f16'] as const).map(ollama),
  onnx('q4', '4 bit', 'the usual choice for a web page.'),
  onnx('q8', '8 bit', 'half the size of half precision for a tiny loss.'),
  onnx('f16', 'weights in half precision', 'computed in float32.'),
  onnx('f32', 'float32', 'exact, and the largest.'),
  ...(['q4', 'q8', 'f16', 'f32'] as const).map(onnxAdapter),
];

function ollama(quantization: GgufQuantization): ExportTarget {
  const { limits, bytes } = gguf(quantization, '', '');
  return {
    format: 'ollama',
    quantization,
    title: `Ollama folder, ${quantization}`,
    runsIn: 'Runs in Ollama: a GGUF and the Modelfile that says how a chat is written.',
    folder: true,
    modelFile: ollamaGguf,
    adapterOnly: false,
    limits,
    refusal: ggufRefusal,
    bytes,
    write: (path, source, onProgress) => writeOllamaFolder(path, source, quantization, onProgress),
  };
}

function onnx(quantization: OnnxPrecision, kind: string, what: string): ExportTarget {
  return {
    format: 'onnx',
    quantization,
    title: `ONNX, ${kind}`,
    runsIn: `Runs in transformers.js and onnxruntime-genai; ${what}`,
    folder: true,
    limits: proofLimits[quantization],
    adapterOnly: false,
    refusal: attentionRefusal,
    bytes: (model) => onnxFolderSize(model, quantization),
    write: (path, source, onProgress) => writeOnnxFolder(path, source, quantization, onProgress),
  };
}

function onnxAdapter(quantization: OnnxPrecision): ExportTarget {
  return {
    format: 'onnx-adapter',
    quantization,
    title: `ONNX of the base, adapter beside it, ${quantization}`,
    runsIn: 'Runs in onnxruntime and onnxruntime-genai, which can change adapters while they run.',
    folder: true,
    adapterOnly: false,
    limits: proofLimits[quantization],
    refusal: onnxAdapterRefusal,
    bytes: (model, shape) => onnxAdapterSize(model, shape, quantization),
    write: (path, source, onProgress) => writeOnnxAdapterFolder(path, source, quantization, onProgress),
  };
}

function hub(quantization: 'f32' | 'f16' | 'bf16', type: FloatType, title: string, runsIn: string): ExportTarget {
  return {
    format: 'safetensors',
    quantization,
    title,
    runsIn,
    folder: true,
    limits: proofLimits[quantization],
    adapterOnly: false,
    bytes: (model) => hubFolderSize(model, type),
    write: (path, source, onProgress) => writeHubFolder(path, source, type, onProgress),
  };
}

function gguf(quantization: GgufQuantization, kind: string, what: string): ExportTarget {
  return {
    format: 'gguf',
    quantization,
    title: `Merged GGUF, ${kind}`,
    runsIn: `Runs in llama.cpp, Ollama and LM Studio; ${what}`,
    folder: false,
    limits: proofLimits[quantization],
    adapterOnly: false,
    refusal: ggufRefusal,
    bytes: (model) => ggufFileSize(model, quantization),
    write: (path, source, onProgress) => writeGguf(path, source, quantization, onProgress),
  };
}

/**
 * Returns the target for a format and quantization; without a quantization, the first target of the format. Throws
 * `export-unsupported` where there is none.
 */
export function findTarget(format: ExportFormat, quantization: Quantization | null): ExportTarget {
  const ofFormat = exportTargets.filter((target) => target.format === format);
  const found = quantization === null ? ofFormat[0] : ofFormat.find((target) => target.quantization === quantization);
  if (found) return found;
  const known = ofFormat.map((target) => target.quantization).filter((value) => value !== null);
  throw new Problem(
    'export-unsupported',
    ofFormat.length === 0
      ? `There is no export format '${format}'.`
      : `The format '${format}' cannot be written as '${quantization}'.`,
    ofFormat.length === 0
      ? `Known formats: ${[...new Set(exportTargets.map((target) => target.format))].join(', ')}.`
      : known.length === 0
        ? 'Leave the quantization out.'
        : `Possible: ${known.join(', ')}.`,
  );
}

/** Gives the approximate bytes of a card and the list of files. */
const paperBytes = 6000;

/** Returns the targets that one model and adapter can be exported to, with estimated bytes. */
export function exportChoices(model: OpenModel, shape: AdapterShape = noAdapterShape): ExportChoice[] {
  const merged = { ...model, spec: mergedSpec(model.spec, [shape]) };
  return exportTargets.flatMap(({ adapterOnly, folder, refusal, bytes, format, quantization, title, runsIn }) => {
    const of = adapterOnly ? model : merged;
    const needsAdapter = adapterOnly || format === 'onnx-adapter';
    if ((needsAdapter && shape.modules.length === 0) || (refusal?.(of.spec, shape) ?? null) !== null) return [];
    return [{ format, quantization, title, runsIn, bytes: bytes(of, shape) + (folder ? paperBytes : 0) }];
  });
}

/** Returns the name of a result that is put into an existing folder. */
export function resultName(model: OpenModel, target: ExportTarget): string {
  const base = model.info.name.replace(/[^\p{L}\p{M}\p{N}._-]+/gu, '-').replace(/^[-.]+|-+$/g, '') || 'model';
  if (target.folder) return base;
  return target.adapterOnly ? `${base}-lora.gguf` : `${base}-${(target.quantization ?? 'f16').toUpperCase()}.gguf`;
}

/**
 * Returns the path of the result for `out`: a file inside it where the format is a file and `out` a folder, otherwise `out`
 * itself.
 */
export function resultPath(out: string, isFolder: boolean, model: OpenModel, target: ExportTarget): string {
  return isFolder && !target.folder ? join(out, resultName(model, target)) : out;
}
