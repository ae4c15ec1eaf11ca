/** Defines an adapter in memory: every trained tensor and its place in one array of numbers. */
import { modelTensors, type DecoderSpec } from '../models/spec.ts';
import type { AdapterConfig } from './config.ts';
import { adaptedTargets, copiedWeights, savedWeights, trainedBiases, type AdaptedTarget } from './targets.ts';

/** Describes one trained tensor and its place among all parameters. */
export interface AdapterTensor {
  /** Gives its key in PEFT's file, such as `base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight`. */
  readonly name: string;
  readonly shape: readonly number[];
  /** Gives the index of its first number in the array of all parameters. */
  readonly offset: number;
}

/**
 * Describes a matrix W to which s B A is added; with a magnitude m (DoRA) row i of the sum is also scaled to the length m_i.
 */
export interface AdaptedModule extends AdaptedTarget {
  /** Holds the factor A, `[r, in]`. */
  readonly a: AdapterTensor;
  /** Holds the factor B, `[out, r]`. */
  readonly b: AdapterTensor;
  /** Holds the magnitude of DoRA, `[out]`, or null without DoRA. */
  readonly magnitude: AdapterTensor | null;
}

/** Describes a tensor of the model whose trained values replace the base's. */
export interface ReplacedWeight {
  /** Lists its names in the model: two for a tied embedding that is trained as both. */
  readonly names: readonly string[];
  readonly tensor: AdapterTensor;
}

export interface AdapterShape {
  /** Lists all trained tensors, in the order of the parameters. */
  readonly tensors: readonly AdapterTensor[];
  readonly modules: readonly AdaptedModule[];
  readonly replaced: readonly ReplacedWeight[];
  /** Gives the number of parameters in all. */
  readonly length: number;
}

/**
 * Holds an adapter. Its parameters lie in one array, in the order of `shape.tensors`; gradients and moments have the same
 * layout.
 */
export interface Adapter {
  readonly config: AdapterConfig;
  readonly shape: AdapterShape;
  readonly parameters: Float32Array;
  /**
   * Holds the first values of the linear modules' factors, in the same layout, whose s B A is taken out of the base (PiSSA,
   * OLoRA). Null for an adapter on the base itself, as every written adapter is.
   */
  readonly initial: Float32Array | null;
}

/** Holds the shape of an adapter that trains nothing, which stands for the base model alone. */
export const noAdapterShape: AdapterShape = { tensors: [], modules: [], replaced: [], length: 0 };

/** Lays tensors end to end in one array. */
class Layout {
  readonly tensors: AdapterTensor[] = [];
  length = 0;

  add(name: string, shape: readonly number[]): AdapterTensor {
    const tensor = { name, shape, offset: this.length };
    this.tensors.push(tensor);
    this.length += sizeOf(shape);
    return tensor;
  }
}

/**
 * Computes the shape of an adapter with this config: the factors of each adapted module in the order of the model, then tensors
 * trained whole, then biases.
 */
export function adapterShape(config: AdapterConfig, spec: DecoderSpec): AdapterShape {
  if (config.method === 'full') return fullShape(spec);
  const headName = `${spec.modules.output}.weight`;
  const whole = [...savedWeights(config, spec), ...copiedWeights(config, spec), ...trainedBiases(config, spec)];
  return shapeOfParts(
    adaptedTargets(config, spec),
    whole.map(({ name, shape }) => ({ names: staysTied(name) ? [name, headName] : [name], shape })),
    config.dora,
  );

  /**
   * Says whether a tensor still stands for both embedding and head. A copy of a tied embedding does; one that is trained whole
   * separates from the head unless the config keeps them tied.
   */
  function staysTied(name: string): boolean {
    if (!spec.tiedEmbeddings || name !== `${spec.modules.token_embd}.weight`) return false;
    return (config.keepsTied || config.copies.includes(name)) && !whole.some((other) => other.name === headName);
  }
}

/**
 * Lays out the factors of these modules, with their magnitudes where `dora` is set, and then the tensors that are trained
 * whole.
 */
export function shapeOfParts(
  targets: readonly AdaptedTarget[],
  whole: readonly { readonly names: readonly string[]; readonly shape: readonly number[] }[],
  dora: boolean,
): AdapterShape {
  const layout = new Layout();
  const modules = targets.map((target): AdaptedModule => {
    const { path, kind, rank, inFeatures, outFeatures } = target;
    const [a, b] = kind === 'embedding' ? ['lora_embedding_A', 'lora_embedding_B'] : ['lora_A.weight', 'lora_B.weight'];
    return {
      ...target,
      a: layout.add(`base_model.model.${path}.${a}`, [rank, inFeatures]),
      b: layout.add(`base_model.model.${path}.${b}`, [outFeatures, rank]),
      magnitude: dora ? layout.add(`base_model.model.${path}.lora_magnitude_vector`, [outFeatures]) : null,
    };
  });
  const adapted = new Set(modules.map(({ path }) => path));
  const replaced = whole.map(({ names, shape }): ReplacedWeight => {
    const name = names[0]!;
    const [path, kind] = [name.slice(0, name.lastIndexOf('.')), name.slice(name.lastIndexOf('.') + 1)];
    // An adapted module lies in a wrapper that PEFT puts around it.
    const key = adapted.has(path) ? `${path}.base_layer.${kind}` : name;
    return { names, tensor: layout.add(`base_model.model.${key}`, shape) };
  });
  return { tensors: layout.tensors, modules, replaced, length: layout.length };
}

/** Returns the shape in which every weight of a model is trained; a tied head is one tensor with its embedding. */
function fullShape(spec: DecoderSpec): AdapterShape {
  const { modules, tiedEmbeddings } = spec;
  const layout = new Layout();
  const replaced = modelTensors(spec).map(({ name, shape }): ReplacedWeight => {
    const isTied = tiedEmbeddings && name === `${modules.token_embd}.weight`;
    return {
      names: isTied ? [name, `${modules.output}.weight`] : [name],
      tensor: layout.add(`base_model.model.${name}`, shape),
    };
  });
  return { tensors: layout.tensors, modules: [], replaced, length: layout.length };
}

/** Returns a view of the part of `parameters` that is `tensor`. */
export function tensorView(parameters: Float32Array, { offset, shape }: Pick<AdapterTensor, 'offset' | 'shape'>): Float32Array {
  return parameters.subarray(offset, offset + sizeOf(shape));
}

function sizeOf(shape: readonly number[]): number {
  return shape.reduce((product, extent) => product * extent, 1);
}
