/** Writes an adapter as a GGUF for llama.cpp, with the names, row order and metadata of llama.cpp's own converter. */
import { tensorView, type AdaptedModule, type AdapterShape } from '../adapters/adapter.ts';
import { GgufWriter, ggufSize, type GgufPlan, type GgufValue } from '../formats/gguf.ts';
import { ggufLayout, ggufMetadataOf, ggufName } from '../models/families/index.ts';
import { modelTensors, type DecoderSpec, type ModelTensor } from '../models/spec.ts';
import { assert, type Problem } from '../problem.ts';
import { noPlaceFor, notInFactors, onlyAdapter } from './adapter-export.ts';
import { lineageKey } from './lineage.ts';
import type { OnProgress } from './progress.ts';
import type { ExportSource } from './source.ts';

/** Returns why llama.cpp could not apply an adapter, or null when it can. */
export function loraGgufRefusal(spec: DecoderSpec, shape: AdapterShape): Problem | null {
  const dora = shape.modules.find(({ magnitude }) => magnitude !== null);
  const what = dora ? `the magnitudes of DoRA ('${dora.path}')` : notInFactors(spec, shape);
  return what === null ? null : noPlaceFor(what, 'llama.cpp');
}

interface PlannedFactor extends GgufPlan {
  readonly module: AdaptedModule;
  /** Holds the tensor in the model that the factor adapts. */
  readonly of: ModelTensor;
}

/** Plans A before B. The factor of an embedding is transposed, so that a token selects one of its rows. */
function plannedFactors(spec: DecoderSpec, shape: AdapterShape): PlannedFactor[] {
  const tensors = new Map(modelTensors(spec).map((tensor) => [tensor.name, tensor]));
  return shape.modules.flatMap((module): PlannedFactor[] => {
    const of = tensors.get(`${module.path}.weight`);
    assert(of !== undefined, `the model has no ${module.path}`);
    const { rank, kind, inFeatures, outFeatures } = module;
    const shared = { type: 'F32', module, of } as const;
    return [
      { ...shared, name: `${ggufName(of)}.lora_a`, shape: kind === 'embedding' ? [inFeatures, rank] : [rank, inFeatures] },
      { ...shared, name: `${ggufName(of)}.lora_b`, shape: [outFeatures, rank] },
    ];
  });
}

export function loraGgufSize(spec: DecoderSpec, shape: AdapterShape): number {
  return ggufSize(metadataOf(spec, 1, '', null), plannedFactors(spec, shape));
}

export async function writeLoraGguf(
  path: string,
  { base: { spec, info }, adapters, lineage }: ExportSource,
  onProgress: OnProgress,
): Promise<void> {
  const { shape, parameters } = onlyAdapter(adapters);
  const refusal = loraGgufRefusal(spec, shape);
  if (refusal !== null) throw refusal;
  // llama.cpp scales each product by one alpha over its own rank. Where a module's scale differs, the rest is multiplied into
  // its B.
  const [first] = shape.modules;
  assert(first !== undefined, 'an adapter adapts something');
  const alpha = first.scale * first.rank;
  const factors = plannedFactors(spec, shape);
  const writer = new GgufWriter(path, metadataOf(spec, alpha, info.name, lineage), factors);
  try {
    for (const [done, { name, module, of }] of factors.entries()) {
      await onProgress(done, factors.length);
      if (name.endsWith('.lora_a')) writer.write(factorA(module, parameters));
      else writer.write(factorB(module, of, parameters, spec, alpha / module.rank));
    }
    writer.finish();
  } finally {
    writer.abort();
  }
}

function factorA(module: AdaptedModule, parameters: Float32Array): Float32Array {
  const values = tensorView(parameters, module.a);
  const { rank, inFeatures } = module;
  return module.kind === 'linear'
    ? values
    : Float32Array.from(values, (_, i) => values[(i % rank) * inFeatures + Math.floor(i / rank)]!);
}

function factorB(
  module: AdaptedModule,
  of: ModelTensor,
  parameters: Float32Array,
  spec: DecoderSpec,
  scale: number,
): Float32Array {
  const own = tensorView(parameters, module.b);
  const values = module.scale === scale ? own : own.map((value) => value * (module.scale / scale));
  return module.kind === 'linear' ? (ggufLayout(of, spec)?.toFile(values, module.b.shape) ?? values) : values;
}

function metadataOf(
  spec: DecoderSpec,
  alpha: number,
  baseName: string,
  lineage: ExportSource['lineage'],
): Map<string, GgufValue> {
  return new Map<string, GgufValue>([
    ['general.architecture', { type: 'string', value: ggufMetadataOf(spec).architecture }],
    ['general.type', { type: 'string', value: 'adapter' }],
    ['general.base_model.count', { type: 'uint32', value: 1 }],
    ['general.base_model.0.name', { type: 'string', value: baseName }],
    ...(lineage === null ? [] : [[lineageKey, { type: 'string', value: JSON.stringify(lineage) }] as const]),
    ['adapter.type', { type: 'string', value: 'lora' }],
    ['adapter.lora.alpha', { type: 'float32', value: alpha }],
    ['general.quantization_version', { type: 'uint32', value: 2 }],
  ]);
}
