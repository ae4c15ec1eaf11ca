/**
 * Describes a decoder-only transformer as plain data. `families/` makes it from a config; `engine/decoder` builds graphs from
 * it.
 */
import { assert } from '../problem.ts';
import { kindOfFeedForward, type FeedForward } from './feed-forward/index.ts';
import { kindOfMixer, type Mixer } from './mixers/index.ts';
import {
  normTensors,
  type BlockRole,
  type LinearRole,
  type NormSpec,
  type PartLinear,
  type PartNeed,
  type PartTensor,
  type StateArray,
} from './parts.ts';

/** Names the modules outside of the blocks, as GGUF does. */
export type OuterRole = 'token_embd' | 'position_embd' | 'output_norm' | 'output';

/** Holds transformers' paths of the modules outside of the blocks, without `.weight`. */
export interface OuterNames {
  readonly token_embd: string;
  readonly position_embd?: string;
  readonly output_norm: string;
  /** Gives the path of the output head, also where it is tied to the embedding. */
  readonly output: string;
  /** Gives the path of the blocks, such as `model.layers`; a dot and the number of a block follow it. */
  readonly blocks: string;
}

/** Holds transformers' module paths within a block. A norm without a name does not exist. */
export type BlockNames = Readonly<Partial<Record<BlockRole, string>>>;

/** Describes a rotary position embedding. */
export interface RopeSpec {
  readonly theta: number;
  /** Gives the number of leading elements of a head that are rotated; headDim when all are. */
  readonly dimension: number;
  /**
   * Says whether a pair is two neighbouring elements; otherwise it is an element of the first half and its partner in the
   * second.
   */
  readonly interleaved: boolean;
  readonly scaling: RopeScaling;
}

export type RopeScaling =
  | { readonly kind: 'none' }
  | { readonly kind: 'linear'; readonly factor: number }
  /** The base grows with the length of rows that are longer than the model was trained for. */
  | { readonly kind: 'dynamic'; readonly factor: number; readonly contextLength: number }
  | {
      readonly kind: 'llama3';
      readonly factor: number;
      readonly lowFrequencyFactor: number;
      readonly highFrequencyFactor: number;
      readonly originalContextLength: number;
    }
  | {
      /** Frequencies are scaled by YaRN (Peng et al. 2023). */
      readonly kind: 'yarn';
      readonly factor: number;
      readonly betaFast: number;
      readonly betaSlow: number;
      readonly originalContextLength: number;
      /** Gives the factor of cos and sin. */
      readonly attentionFactor: number;
      /** Says whether the bounds of the ramp are rounded outwards to whole pairs. */
      readonly truncate: boolean;
    }
  | {
      /**
       * LongRoPE (Ding et al. 2024) divides the inverse frequencies, by the long factors for rows beyond the original context.
       */
      readonly kind: 'longrope';
      readonly shortFactors: readonly number[];
      readonly longFactors: readonly number[];
      readonly originalContextLength: number;
      readonly attentionFactor: number;
    }
  /** Each inverse frequency is divided by a factor, one per pair, as GGUF's `rope_freqs.weight` carries them. */
  | { readonly kind: 'factors'; readonly factors: readonly number[] };

/** Says how the parts of a block are connected. */
export interface Wiring {
  /**
   * Says how the parts are combined. With `parallel`, mixer and feed-forward both read the block's input, and both results are
   * added to it.
   */
  readonly order: 'sequential' | 'parallel';
  /** Gives the factor of what a part adds to the residual stream. */
  readonly residualScale: number;
}

/** Describes one block: a mixer and a feed-forward, each added to the residual stream. */
export interface BlockSpec {
  readonly mixer: Mixer;
  readonly feedForward: FeedForward;
  /** Holds the kind of all norms of the residual stream that have a name, before and after each part. */
  readonly norm: NormSpec;
  readonly wiring: Wiring;
  readonly names: BlockNames;
  /** Lists the linear layers that have a bias. */
  readonly biases: readonly LinearRole[];
}

export interface DecoderSpec {
  /** Gives the family, named as in `model_type` of config.json. */
  readonly family: string;
  readonly modules: OuterNames;
  readonly hiddenSize: number;
  readonly vocabularySize: number;
  readonly contextLength: number;
  /** Gives the factor of the embedded tokens. */
  readonly embeddingScale: number;
  /** Gives the number of rows of the learned position embedding, or null without one. */
  readonly learnedPositions: number | null;
  /** Lists the blocks from the embedding to the head; they may have different kinds and sizes. */
  readonly blocks: readonly BlockSpec[];
  readonly ropes: readonly RopeSpec[];
  /**
   * Queries are multiplied by 1 + beta ln(1 + ⌊position / originalContextLength⌋) (Llama 4, Ministral 3); null where they are
   * not.
   */
  readonly queryGrowth: { readonly beta: number; readonly originalContextLength: number } | null;
  /** Holds the norm before the head. */
  readonly norm: NormSpec;
  /** Says whether the output head is the embedding matrix. */
  readonly tiedEmbeddings: boolean;
  readonly head: {
    readonly bias: boolean;
    /** Gives the factor of the logits. */
    readonly scale: number;
    /** Gives the cap of the logits: z becomes cap · tanh(z / cap), after the scale. It is null without one. */
    readonly cap: number | null;
  };
}

/** Describes a tensor of a model under transformers' name. */
export interface ModelTensor {
  readonly name: string;
  readonly shape: readonly number[];
  readonly role: OuterRole | BlockRole;
  readonly kind: 'weight' | 'bias';
  /** Gives the index of the block, from 0, or null outside of the blocks. */
  readonly layer: number | null;
}

/** Lists every tensor that a model of this spec has, in the order of the computation. */
export function modelTensors(spec: DecoderSpec): ModelTensor[] {
  const { modules, hiddenSize, vocabularySize, learnedPositions, norm, head } = spec;
  const tensors: ModelTensor[] = [];
  const put = (
    role: ModelTensor['role'],
    path: string,
    layer: number | null,
    weight: readonly number[] | null,
    bias: readonly number[] | null,
  ) => {
    if (weight) tensors.push({ name: `${path}.weight`, shape: weight, role, kind: 'weight', layer });
    if (bias) tensors.push({ name: `${path}.bias`, shape: bias, role, kind: 'bias', layer });
  };
  put('token_embd', modules.token_embd, null, [vocabularySize, hiddenSize], null);
  if (learnedPositions !== null) {
    assert(modules.position_embd !== undefined, 'learned positions have no name');
    put('position_embd', modules.position_embd, null, [learnedPositions, hiddenSize], null);
  }
  spec.blocks.forEach((block, layer) => {
    for (const { role, weight, bias } of blockTensors(block, hiddenSize))
      put(role, modulePath(spec, layer, role), layer, weight, bias);
    for (const { role, path, outFeatures, inFeatures, bias } of blockLinears(spec, layer))
      put(role, path, layer, [outFeatures, inFeatures], bias ? [outFeatures] : null);
  });
  const { weight, bias } = normTensors('attn_norm', norm, [hiddenSize]);
  put('output_norm', modules.output_norm, null, weight, bias);
  put(
    'output',
    modules.output,
    null,
    spec.tiedEmbeddings ? null : [vocabularySize, hiddenSize],
    head.bias ? [vocabularySize] : null,
  );
  return tensors;
}

/** Lists the tensors of a block besides its linear layers. */
function blockTensors({ mixer, feedForward, norm, names }: BlockSpec, hiddenSize: number): PartTensor[] {
  const normOf = (role: StreamNorm): readonly PartTensor[] =>
    names[role] === undefined ? [] : [normTensors(role, norm, [hiddenSize])];
  return [
    ...normOf('attn_norm'),
    ...kindOfMixer(mixer).tensors(mixer),
    ...normOf('post_attention_norm'),
    ...normOf('ffn_norm'),
    ...kindOfFeedForward(feedForward).tensors(feedForward),
    ...normOf('post_ffw_norm'),
  ];
}

/** Names the roles of the norms of the residual stream, before or after a part. */
export type StreamNorm = 'attn_norm' | 'post_attention_norm' | 'ffn_norm' | 'post_ffw_norm';

/** Returns the name of the stored tensor behind a name: that of a tied head is the embedding. */
export function storedName({ modules, tiedEmbeddings }: DecoderSpec, name: string): string {
  return tiedEmbeddings && name === `${modules.output}.weight` ? `${modules.token_embd}.weight` : name;
}

/** Returns the path of a module in a block, such as `model.layers.3.self_attn.q_proj`. */
export function modulePath({ modules, blocks }: DecoderSpec, layer: number, role: BlockRole): string {
  const name = blocks[layer]!.names[role];
  assert(name !== undefined, `block ${layer} has no name for its ${role}`);
  return `${modules.blocks}.${layer}.${name}`;
}

/** Describes a linear layer of one block. */
export interface LinearLayer extends PartLinear {
  readonly part: 'mixer' | 'feed-forward';
  /** Gives the last part of its path, such as `q_proj`. */
  readonly name: string;
  /** Gives its path, such as `model.layers.3.self_attn.q_proj`. */
  readonly path: string;
  readonly layer: number;
  readonly bias: boolean;
}

/** Lists the linear layers of every block, in the order in which they are computed. */
export function linearLayers(spec: DecoderSpec): LinearLayer[] {
  return spec.blocks.flatMap((_, layer) => blockLinears(spec, layer));
}

export function blockLinears(spec: DecoderSpec, layer: number): LinearLayer[] {
  const { mixer, feedForward, biases } = spec.blocks[layer]!;
  const placed = (part: LinearLayer['part'], linears: readonly PartLinear[]): LinearLayer[] =>
    linears.map((linear) => {
      const path = modulePath(spec, layer, linear.role);
      return { ...linear, part, name: path.slice(path.lastIndexOf('.') + 1), path, layer, bias: biases.includes(linear.role) };
    });
  return [
    ...placed('mixer', kindOfMixer(mixer).linears(mixer, spec.hiddenSize)),
    ...placed('feed-forward', kindOfFeedForward(feedForward).linears(feedForward, spec.hiddenSize)),
  ];
}

/** Describes a linear layer that has one shape in several blocks. */
export interface LinearKind extends Omit<LinearLayer, 'layer'> {
  /** Gives the path with `{layer}` in place of the block's number. */
  readonly path: string;
  readonly layers: readonly number[];
}

/** Groups the linear layers by path and shape, each with the blocks that have it, in the order of the first such block. */
export function linearKinds(spec: DecoderSpec): LinearKind[] {
  const kinds = new Map<string, LinearKind & { readonly layers: number[] }>();
  for (const { layer, ...linear } of linearLayers(spec)) {
    const path = pathInBlocks(spec, layer, linear.path);
    const key = `${path} ${linear.outFeatures} ${linear.inFeatures}`;
    const known = kinds.get(key);
    if (known === undefined) kinds.set(key, { ...linear, path, layers: [layer] });
    else known.layers.push(layer);
  }
  return [...kinds.values()];
}

/** Returns a path with `{layer}` for the number of the block, such as `model.layers.{layer}.self_attn.q_proj`. */
export function pathInBlocks({ modules }: DecoderSpec, layer: number, path: string): string {
  return path.replace(`${modules.blocks}.${layer}.`, `${modules.blocks}.{layer}.`);
}

/**
 * Puts the number of a block into a path: `model.layers.{layer}.self_attn.q_proj` becomes `model.layers.3.self_attn.q_proj`.
 */
export function pathInBlock(path: string, layer: number): string {
  return path.replace('{layer}', String(layer));
}

/** Lists the arrays that a block keeps from token to token of a row. */
export function blockState({ mixer, feedForward }: BlockSpec): StateArray[] {
  return [...kindOfMixer(mixer).state(mixer), ...kindOfFeedForward(feedForward).state(feedForward)];
}

/** Collects what the parts of a model read besides the residual stream. */
export function partNeeds({ blocks }: DecoderSpec): ReadonlySet<PartNeed> {
  return new Set(
    blocks.flatMap(({ mixer, feedForward }) => [...kindOfMixer(mixer).needs, ...kindOfFeedForward(feedForward).needs]),
  );
}
