/** Adapters of mlx-lm (a folder with `adapters.safetensors`) and llama.cpp (a GGUF file), read as what they are in PEFT's terms. */
import { basename, join } from 'node:path';
import { readText } from '../../formats/files.ts';
import { readGguf, readGgufFloat32, type GgufTensor } from '../../formats/gguf.ts';
import { readSafetensors, readSafetensorsFloat32 } from '../../formats/safetensors.ts';
import { ggufLayout, ggufName } from '../../models/families/index.ts';
import { modelTensors, type DecoderSpec, type ModelTensor } from '../../models/spec.ts';
import { Problem } from '../../problem.ts';
import { defaultRecipe } from '../../recipe.ts';
import { adapterShape, tensorView, type Adapter } from './adapter.ts';
import { adapterRecipe, type AdapterConfig } from './config.ts';
import { adaptedTargets, targetModules, type TargetModule } from './targets.ts';

export const mlxWeightsName = 'adapters.safetensors';
const maxConfigBytes = 1 << 20;

/** The factors of one module as they were found: A [r, in], B [out, r]. */
interface FoundModule {
  readonly target: TargetModule;
  readonly rank: number;
  readonly a: Float32Array;
  readonly b: Float32Array;
  readonly magnitude: Float32Array | null;
}

/** What mlx-lm's `adapter_config.json` says. */
export function readMlxConfig(dir: string): { readonly dora: boolean; readonly scale: number; readonly dropout: number } {
  const path = join(dir, 'adapter_config.json');
  const invalid = (what: string) =>
    new Problem('config-invalid', `${path}: ${what}.`, 'The folder must be an adapter as mlx-lm writes it.');
  let config: { fine_tune_type?: unknown; lora_parameters?: { scale?: unknown; dropout?: unknown } } | null;
  try {
    config = JSON.parse(readText(path, maxConfigBytes)) as typeof config;
  } catch (cause) {
    if (cause instanceof Problem) throw cause;
    throw invalid('it is not JSON');
  }
  const kind = config?.fine_tune_type ?? 'lora';
  if (kind !== 'lora' && kind !== 'dora')
    throw new Problem(
      'model-unsupported',
      `${path}: 'fine_tune_type' is ${JSON.stringify(kind)}, which is no adapter.`,
      'Use the model that mlx_lm.fuse makes of it.',
    );
  const { scale, dropout = 0 } = config?.lora_parameters ?? {};
  if (typeof scale !== 'number' || typeof dropout !== 'number') throw invalid(`'lora_parameters' has no scale`);
  return { dora: kind === 'dora', scale, dropout };
}

/** `lora_a` is [in, r] and `lora_b` [r, out]; what they make is multiplied by `scale` itself. */
export function readMlxAdapter(dir: string, spec: DecoderSpec): Adapter {
  const { dora, scale, dropout } = readMlxConfig(dir);
  const path = join(dir, mlxWeightsName);
  const { tensors } = readSafetensors(path);
  const places = placesOf(spec);
  const modules = [...tensors.values()].flatMap((tensor): FoundModule[] => {
    const [, modulePath, part] = /^(.*)\.(lora_a|lora_b|m)$/.exec(tensor.name) ?? [];
    const target = places.get(modulePath ?? '');
    if (target === undefined || (target.kind === 'embedding' && (dora || spec.tiedEmbeddings))) throw noPlace(path, tensor);
    if (part !== 'lora_a') return [];
    const read = (name: string, shape: readonly number[]): Float32Array => {
      const found = tensors.get(`${modulePath}.${name}`);
      if (found === undefined) throw missing(path, `${modulePath}.${name}`);
      if (found.shape.join() !== shape.join()) throw noPlace(path, found);
      return readSafetensorsFloat32(path, found);
    };
    const rank = tensor.shape.at(-1) ?? 0;
    const { inFeatures, outFeatures } = target;
    return [
      {
        ...{ target, rank },
        a: transposed(read('lora_a', [inFeatures, rank]), inFeatures, rank),
        b: transposed(read('lora_b', [rank, outFeatures]), rank, outFeatures),
        magnitude: dora ? read('m', [outFeatures]) : null,
      },
    ];
  });
  return assemble(path, spec, modules, { dora, dropout }, (rank) => scale * rank);
}

/** Tensors have the names of the model's own with `.lora_a` [r, in] and `.lora_b` [out, r], rows moved as in a model's file. */
export function readGgufAdapter(path: string, spec: DecoderSpec): Adapter {
  const file = readGguf(path);
  const text = (key: string): unknown => file.metadata.get(key)?.value;
  if (text('general.type') !== 'adapter' || text('adapter.type') !== 'lora')
    throw new Problem('format-unsupported', `'${path}' is no LoRA adapter.`, 'Give it as the model, or choose another file.');
  if (file.metadata.has('adapter.alora.invocation_tokens'))
    throw new Problem('model-unsupported', `'${path}' adapts only after certain tokens.`, 'Use a plain LoRA adapter.');
  const alpha = Number(text('adapter.lora.alpha') ?? 0);
  const targets = placesOf(spec);
  const head: ModelTensor = { name: `${spec.modules.output}.weight`, shape: [], role: 'output', kind: 'weight', layer: null };
  const places = new Map([head, ...modelTensors(spec)].map((tensor) => [ggufName(tensor), tensor]));
  const modules = [...file.tensors.values()].flatMap((tensor): FoundModule[] => {
    const [, name, part] = /^(.*)\.lora_(a|b)$/.exec(tensor.name) ?? [];
    const place = places.get(name ?? '');
    const target = place && targets.get(place.name.replace(/\.weight$/, ''));
    if (place === undefined || target === undefined) throw noPlace(path, tensor);
    if (part !== 'a') return [];
    const other = file.tensors.get(`${name}.lora_b`);
    if (other === undefined) throw missing(path, `${name}.lora_b`);
    const { kind, inFeatures, outFeatures } = target;
    const rank = other.shape.at(-1) ?? 0;
    // The factor of an embedding is turned, so that a token picks a row of it.
    const shapeOfA = kind === 'embedding' ? [inFeatures, rank] : [rank, inFeatures];
    if (tensor.shape.join() !== shapeOfA.join()) throw noPlace(path, tensor);
    if (other.shape.join() !== [outFeatures, rank].join()) throw noPlace(path, other);
    const a = readGgufFloat32(path, tensor);
    const b = readGgufFloat32(path, other);
    const layout = kind === 'embedding' ? null : ggufLayout(place, spec);
    return [
      {
        ...{ target, rank },
        a: kind === 'embedding' ? transposed(a, inFeatures, rank) : a,
        b: layout === null ? b : layout.toModel(b, [outFeatures, rank]),
        magnitude: null,
      },
    ];
  });
  // Without alpha llama.cpp scales by 1.
  return assemble(path, spec, modules, { dora: false, dropout: 0 }, (rank) => (alpha === 0 ? rank : alpha));
}

function placesOf(spec: DecoderSpec): Map<string, TargetModule> {
  return new Map(targetModules(spec).map((target) => [target.path, target]));
}

/** The config that means exactly these modules. */
function assemble(
  path: string,
  spec: DecoderSpec,
  modules: readonly FoundModule[],
  { dora, dropout }: { readonly dora: boolean; readonly dropout: number },
  alphaOf: (rank: number) => number,
): Adapter {
  const [first] = modules;
  if (first === undefined) throw missing(path, 'lora_a');
  const config: AdapterConfig = {
    ...adapterRecipe(defaultRecipe()),
    ...{ rank: first.rank, alpha: alphaOf(first.rank), dora, dropout, fanInFanOut: false, base: null },
    targetModules: targetsFor(modules, spec),
    rankPattern: patternOf(modules, ({ rank }) => rank, first.rank),
    alphaPattern: patternOf(modules, ({ rank }) => alphaOf(rank), alphaOf(first.rank)),
  };
  const shape = adapterShape(config, spec);
  const parameters = new Float32Array(shape.length);
  for (const module of shape.modules) {
    const found = modules.find(({ target }) => target.path === module.path)!;
    tensorView(parameters, module.a).set(found.a);
    tensorView(parameters, module.b).set(found.b);
    if (module.magnitude !== null && found.magnitude !== null) tensorView(parameters, module.magnitude).set(found.magnitude);
  }
  return { config, shape, parameters, initial: null };
}

/** Names where they mean these modules and no others, else whole paths. */
function targetsFor(modules: readonly FoundModule[], spec: DecoderSpec): readonly string[] {
  const paths = modules.map(({ target }) => target.path);
  const names = [...new Set(paths.map((path) => path.slice(path.lastIndexOf('.') + 1)))];
  const config: AdapterConfig = { ...adapterRecipe(defaultRecipe()), targetModules: names, fanInFanOut: false, base: null };
  return adaptedTargets(config, spec).length === paths.length ? names : paths;
}

function patternOf(
  modules: readonly FoundModule[],
  value: (module: FoundModule) => number,
  usual: number,
): Record<string, number> {
  const others = modules.filter((module) => value(module) !== usual);
  return Object.fromEntries(others.map((module) => [module.target.path.replaceAll('.', '\\.'), value(module)]));
}

function transposed(values: Float32Array, rows: number, columns: number): Float32Array {
  return Float32Array.from({ length: values.length }, (_, i) => values[(i % rows) * columns + Math.floor(i / rows)]!);
}

function noPlace(path: string, { name, shape }: Pick<GgufTensor, 'name' | 'shape'>): Problem {
  return new Problem(
    'adapter-mismatch',
    `'${basename(path)}' has a tensor '${name}' of shape [${shape.join(', ')}], which has no place in this model.`,
    'Use the adapter with the base model it was trained on.',
  );
}

function missing(path: string, name: string): Problem {
  return new Problem(
    'adapter-mismatch',
    `'${basename(path)}' has no tensor '${name}'.`,
    'The adapter is incomplete; copy it again.',
  );
}
