/** Writes an adapter as mlx-lm stores it: `adapter_config.json` and `adapters.safetensors`, with the factors transposed. */
import { join } from 'node:path';
import { tensorView, type AdaptedModule, type Adapter, type AdapterShape, type AdapterTensor } from '../adapters/adapter.ts';
import { mlxWeightsName } from '../adapters/find.ts';
import { writeFileAtomic } from '../formats/files.ts';
import { safetensorsSize, SafetensorsWriter, type SafetensorsPlan } from '../formats/safetensors.ts';
import { linearLayers, type DecoderSpec } from '../models/spec.ts';
import { assert, Problem } from '../problem.ts';
import { noPlaceFor, notInFactors, onlyAdapter } from './adapter-export.ts';
import { lineageMetadata } from './lineage.ts';
import type { OnProgress } from './progress.ts';
import type { ExportSource } from './source.ts';

/** Returns why mlx-lm could not apply an adapter, or null when it can. */
export function mlxRefusal(spec: DecoderSpec, shape: AdapterShape): Problem | null {
  // mlx-lm has other names for the modules of these.
  if (spec.modules.blocks !== 'model.layers')
    return new Problem(
      'export-unsupported',
      `mlx-lm names the modules of a '${spec.family}' model otherwise, so there is no adapter for it.`,
      'Export the merged model instead.',
    );
  const dora = shape.modules.find(({ kind, magnitude }) => kind === 'embedding' && magnitude !== null);
  const what = dora ? `DoRA of the embedding ('${dora.path}')` : notInFactors(spec, shape);
  return what === null ? null : noPlaceFor(what, 'mlx-lm');
}

interface PlannedPart extends SafetensorsPlan {
  values(parameters: Float32Array): Float32Array;
}

/**
 * Plans `lora_a` [in, r], `lora_b` [r, out], and with DoRA `m` [out]. mlx-lm has one scale for all products, so a module's own
 * scale goes into its B.
 */
function plannedParts({ modules }: AdapterShape, scale: number): PlannedPart[] {
  return modules.flatMap((module): PlannedPart[] => {
    const { path, rank, inFeatures, outFeatures, a, b, magnitude } = module;
    const share = module.scale / scale;
    const turned = (tensor: AdapterTensor, factor: number) => (parameters: Float32Array) => {
      const [rows, columns] = tensor.shape as [number, number];
      const values = tensorView(parameters, tensor);
      return Float32Array.from(values, (_, i) => factor * values[(i % rows) * columns + Math.floor(i / rows)]!);
    };
    return [
      { name: `${path}.lora_a`, type: 'F32', shape: [inFeatures, rank], values: turned(a, 1) },
      { name: `${path}.lora_b`, type: 'F32', shape: [rank, outFeatures], values: turned(b, share) },
      ...(magnitude === null
        ? []
        : [
            {
              ...{ name: `${path}.m`, type: 'F32' as const, shape: [outFeatures] },
              values: (parameters: Float32Array) => tensorView(parameters, magnitude),
            },
          ]),
    ];
  });
}

export function mlxFolderSize(shape: AdapterShape): number {
  return safetensorsSize(plannedParts(shape, 1), { format: 'mlx' }) + 600;
}

export async function writeMlxAdapter(
  folder: string,
  { base: { spec, info }, adapters, lineage }: ExportSource,
  onProgress: OnProgress,
): Promise<void> {
  const { config, shape, parameters } = onlyAdapter(adapters);
  const refusal = mlxRefusal(spec, shape);
  if (refusal !== null) throw refusal;
  const [first] = shape.modules;
  assert(first !== undefined, 'an adapter adapts something');
  writeFileAtomic(join(folder, 'adapter_config.json'), formatConfig(spec, shape.modules, first, config, info.name));
  const parts = plannedParts(shape, first.scale);
  const writer = new SafetensorsWriter(join(folder, mlxWeightsName), parts, { format: 'mlx', ...lineageMetadata(lineage) });
  try {
    for (const [done, part] of parts.entries()) {
      await onProgress(done, parts.length);
      writer.write(part.values(parameters));
    }
    writer.finish();
  } finally {
    writer.abort();
  }
}

/**
 * Writes the config. mlx-lm adapts the named modules of the last blocks and then reads what the file has of them; modules the
 * file lacks change nothing.
 */
function formatConfig(
  spec: DecoderSpec,
  modules: readonly AdaptedModule[],
  first: AdaptedModule,
  { dora, dropout }: Adapter['config'],
  baseName: string,
): string {
  const adapted = new Set(modules.map(({ path }) => path));
  const layers = linearLayers(spec).flatMap(({ path, layer }) => (adapted.has(path) ? [layer] : []));
  const fields = {
    model: baseName,
    fine_tune_type: dora ? 'dora' : 'lora',
    num_layers: layers.length === 0 ? 0 : spec.blocks.length - Math.min(...layers),
    lora_parameters: {
      rank: first.rank,
      scale: first.scale,
      dropout,
      keys: [...new Set(modules.map(({ path }) => path.replace(/^model\.layers\.\d+\./, '')))],
    },
  };
  return `${JSON.stringify(fields, null, 2)}\n`;
}
