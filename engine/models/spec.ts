/** What a decoder-only transformer is, as frozen plain data. `families/` makes it from a config; `engine/decoder` builds graphs from it. */
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

/** GGUF's names of what stands outside of the blocks. */
export type OuterRole = 'token_embd' | 'position_embd' | 'output_norm' | 'output';

/** Transformers' module paths of what stands outside of the blocks, without `.weight`. */
export interface OuterNames {
  readonly token_embd: string;
  readonly position_embd?: string;
  readonly output_norm: string;
  /** Of the head, also where it is tied to the embedding. */
  readonly output: string;
  /** `model.layers`; a block is this, a dot and its number. */
  readonly blocks: string;
}

/** Transformers' module paths within a block. A norm that is not named is not there. */
export type BlockNames = Readonly<Partial<Record<BlockRole, string>>>;

/** Rotary position embedding. */
export interface RopeSpec {
  readonly theta: number;
  /** Leading elements of a head that are rotated; headDim when all are. */
  readonly dimension: number;
  /** Pairs are neighbours; otherwise the two halves. */
  readonly interleaved: boolean;
  readonly scaling: RopeScaling;
}

export type RopeScaling =
  | { readonly kind: 'none' }
  | { readonly kind: 'linear'; readonly factor: number }
  /** The base grows with rows that are longer than the model was trained for. */
  | { readonly kind: 'dynamic'; readonly factor: number; readonly contextLength: number }
  | {
      readonly kind: 'llama3';
      readonly factor: number;
      readonly lowFrequencyFactor: number;
      readonly highFrequencyFactor: number;
      readonly originalContextLength: number;
    }
  | {
      /** Peng et al. 2023. */
      readonly kind: 'yarn';
      readonly factor: number;
      readonly betaFast: number;
      readonly betaSlow: number;
      readonly originalContextLength: number;
      /** Factor of cos and sin. */
      readonly attentionFactor: number;
      /** Whether the bounds of the ramp are rounded outwards to whole pairs. */
      readonly truncate: boolean;
    }
  | {
      /** Ding et al. 2024: divisors of the inverse frequencies, the long ones for rows beyond the original context. */
      readonly kind: 'longrope';
      readonly shortFactors: readonly number[];
      readonly longFactors: readonly number[];
      readonly originalContextLength: number;
      readonly attentionFactor: number;
    }
  /** Divisors of the inverse frequencies, one per pair, as GGUF's `rope_freqs.weight` carries them. */
  | { readonly kind: 'factors'; readonly factors: readonly number[] };

/** How the parts of a block are put together. */
export interface Wiring {
  /** `parallel`: mixer and feed-forward both read the block's input, and both are added to it. */
  readonly order: 'sequential' | 'parallel';
  /** Factor of what a block adds to its input. */
  readonly residualScale: number;
}

/** One block: a mixer and a feed-forward, each added to the stream. */
export interface BlockSpec {
  readonly mixer: Mixer;
  readonly feedForward: FeedForward;
  /** Every norm of the stream that has a name: before and after each part. */
  readonly norm: NormSpec;
  readonly wiring: Wiring;
  readonly names: BlockNames;
  /** The linear layers that have a bias. */
  readonly biases: readonly LinearRole[];
}

export interface DecoderSpec {
  /** `model_type` of config.json. */
  readonly family: string;
  readonly modules: OuterNames;
  readonly hiddenSize: number;
  readonly vocabularySize: number;
  readonly contextLength: number;
  /** Factor of the embedded tokens. */
  readonly embeddingScale: number;
  /** Rows of a learned position embedding; null without one. */
  readonly learnedPositions: number | null;
  /** From the embedding to the head; they may be of different kinds and sizes. */
  readonly blocks: readonly BlockSpec[];
  readonly ropes: readonly RopeSpec[];
  /** Beyond this context queries grow: by 1 + beta ln(1 + ⌊position / originalContextLength⌋) (Llama 4, Ministral 3). */
  readonly queryGrowth: { readonly beta: number; readonly originalContextLength: number } | null;
  /** The norm before the head. */
  readonly norm: NormSpec;
  /** The output head is the embedding matrix. */
  readonly tiedEmbeddings: boolean;
  readonly head: {
    readonly bias: boolean;
    /** Factor of the logits. */
    readonly scale: number;
    /** Logits z become cap · tanh(z / cap), after the scale. */
    readonly cap: number | null;
  };
}

/** A tensor of a model under transformers' name. */
export interface ModelTensor {
  readonly name: string;
  readonly shape: readonly number[];
  readonly role: OuterRole | BlockRole;
  readonly kind: 'weight' | 'bias';
  /** Null outside of the blocks. */
  readonly layer: number | null;
}

/** Every tensor a model of this spec has, in the order of the computation. */
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

/** The tensors of a block beside its linear layers. */
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

/** A norm of the stream, before or after a part. */
export type StreamNorm = 'attn_norm' | 'post_attention_norm' | 'ffn_norm' | 'post_ffw_norm';

/** The tensor of a model behind a name: that of a tied head is the embedding. */
export function storedName({ modules, tiedEmbeddings }: DecoderSpec, name: string): string {
  return tiedEmbeddings && name === `${modules.output}.weight` ? `${modules.token_embd}.weight` : name;
}

/** `model.layers.3.self_attn.q_proj` */
export function modulePath({ modules, blocks }: DecoderSpec, layer: number, role: BlockRole): string {
  const name = blocks[layer]!.names[role];
  assert(name !== undefined, `block ${layer} has no name for its ${role}`);
  return `${modules.blocks}.${layer}.${name}`;
}

/** A linear layer of one block. */
export interface LinearLayer extends PartLinear {
  readonly part: 'mixer' | 'feed-forward';
  /** `q_proj` */
  readonly name: string;
  /** `model.layers.3.self_attn.q_proj` */
  readonly path: string;
  readonly layer: number;
  readonly bias: boolean;
}

/** The linear layers of every block, in the order they are computed. */
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

/** A linear layer that is of one shape in several blocks. */
export interface LinearKind extends Omit<LinearLayer, 'layer'> {
  /** Path with `{layer}` in place of the block's number. */
  readonly path: string;
  readonly layers: readonly number[];
}

/** The linear layers by path and shape, each with the blocks that have it, in the order of the first block that does. */
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

/** `model.layers.{layer}.self_attn.q_proj` */
export function pathInBlocks({ modules }: DecoderSpec, layer: number, path: string): string {
  return path.replace(`${modules.blocks}.${layer}.`, `${modules.blocks}.{layer}.`);
}

/** `model.layers.3.self_attn.q_proj` of `model.layers.{layer}.self_attn.q_proj` */
export function pathInBlock(path: string, layer: number): string {
  return path.replace('{layer}', String(layer));
}

/** What a block keeps from token to token of a row. */
export function blockState({ mixer, feedForward }: BlockSpec): StateArray[] {
  return [...kindOfMixer(mixer).state(mixer), ...kindOfFeedForward(feedForward).state(feedForward)];
}

/** What the parts of a model read besides the stream of tokens. */
export function partNeeds({ blocks }: DecoderSpec): ReadonlySet<PartNeed> {
  return new Set(
    blocks.flatMap(({ mixer, feedForward }) => [...kindOfMixer(mixer).needs, ...kindOfFeedForward(feedForward).needs]),
  );
}
