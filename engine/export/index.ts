/** The table of exports: what each format is, where it runs, how large it gets, how it is written, and what its proof must hold. */
import { join } from 'node:path';
import type { ExportChoice, ExportFormat, Quantization } from '../contract.ts';
import type { OpenModel } from '../models/open.ts';
import type { DecoderSpec } from '../models/spec.ts';
import { Problem } from '../problem.ts';
import type { FloatType } from '../formats/safetensors.ts';
import { noAdapterShape, type Adapter, type AdapterShape } from '../training/lora/adapter.ts';
import { writeAdapterFiles } from '../training/lora/folder.ts';
import { ggufFileSize, writeGguf } from './gguf.ts';
import { hubFolderSize, writeHubFolder } from './hub.ts';
import { proofLimits, type ProofLimits } from './limits.ts';
import { hasOnnxHeads, onnxFolderSize, writeOnnxFolder } from './onnx/folder.ts';
import type { OnnxPrecision } from './onnx/weights.ts';
import type { GgufQuantization } from './quant-mix.ts';
import type { ExportSource, Step } from './source.ts';

export interface ExportTarget {
  readonly format: ExportFormat;
  readonly quantization: Quantization | null;
  readonly title: string;
  /** One line: where it runs. */
  readonly runsIn: string;
  /** The result is a folder, else a file. */
  readonly folder: boolean;
  readonly limits: ProofLimits;
  /** Whether the format can hold a model; left out, it can hold all. */
  supports?(spec: DecoderSpec): boolean;
  /** Bytes the result will have, before anything is written. */
  bytes(model: OpenModel, shape: AdapterShape): number;
  /** Writes the result at `path`, which is beside its final place and not there yet. */
  write(path: string, source: ExportSource, adapter: Adapter | null, step: Step): Promise<void>;
}

export const exportTargets: readonly ExportTarget[] = [
  {
    format: 'peft',
    quantization: null,
    title: 'PEFT adapter',
    runsIn: 'Runs in transformers with PEFT, and here, on top of the base model.',
    folder: true,
    limits: proofLimits.f32,
    bytes: (_, shape) => shape.length * 4 + shape.tensors.length * 160 + 1024,
    async write(path, { model }, adapter, step) {
      if (adapter === null)
        throw new Problem('export-unsupported', 'There is no adapter to export.', 'Choose an adapter, or another format.');
      if (adapter.config.method === 'full')
        throw new Problem('export-unsupported', 'Every weight was trained: this is no adapter.', 'Export the model.');
      await step(0, 1);
      writeAdapterFiles(path, adapter, adapter.config.base ?? model.info.name);
    },
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
  onnx('q4', '4 bit', 'the usual choice for a web page.'),
  onnx('q8', '8 bit', 'half the size of half precision for a tiny loss.'),
  onnx('f16', 'weights in half precision', 'computed in float32.'),
  onnx('f32', 'float32', 'exact, and the largest.'),
];

function onnx(quantization: OnnxPrecision, kind: string, what: string): ExportTarget {
  return {
    format: 'onnx',
    quantization,
    title: `ONNX, ${kind}`,
    runsIn: `Runs in transformers.js and onnxruntime-genai; ${what}`,
    folder: true,
    limits: proofLimits[quantization],
    supports: hasOnnxHeads,
    bytes: (model) => onnxFolderSize(model, quantization),
    write: (path, source, _, step) => writeOnnxFolder(path, source, quantization, step),
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
    bytes: (model) => hubFolderSize(model, type),
    write: (path, source, _, step) => writeHubFolder(path, source, type, step),
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
    bytes: (model) => ggufFileSize(model, quantization),
    write: (path, source, _, step) => writeGguf(path, source, quantization, step),
  };
}

/** The row of the table; without a quantization the first of the format. */
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

/** The table for one model and adapter, with sizes. */
export function exportChoices(model: OpenModel, shape: AdapterShape = noAdapterShape): ExportChoice[] {
  return exportTargets
    .filter((target) => (target.format !== 'peft' || shape.modules.length > 0) && (target.supports?.(model.spec) ?? true))
    .map((target) => ({
      format: target.format,
      quantization: target.quantization,
      title: target.title,
      runsIn: target.runsIn,
      bytes: target.bytes(model, shape),
    }));
}

/** Name for a result put into an existing folder. */
export function resultName(model: OpenModel, target: ExportTarget): string {
  const base = model.info.name.replace(/[^\p{L}\p{N}._-]+/gu, '-').replace(/^[-.]+|-+$/g, '') || 'model';
  return target.folder ? base : `${base}-${(target.quantization ?? 'f16').toUpperCase()}.gguf`;
}

/** Where `out` leads: itself, or for a file format a file in it when it is a folder. */
export function resultPath(out: string, isFolder: boolean, model: OpenModel, target: ExportTarget): string {
  return isFolder && !target.folder ? join(out, resultName(model, target)) : out;
}
