/** What a decoder-only transformer is, as frozen plain data. `families.ts` makes it from a config; `decoder.ts` builds graphs from it. */

/** Rotary position embedding. */
export interface RopeSpec {
  readonly theta: number;
  /** Leading elements of a head that are rotated; headDim when all are. */
  readonly dimension: number;
  readonly scaling:
    | { readonly kind: 'none' }
    | { readonly kind: 'linear'; readonly factor: number }
    | {
        readonly kind: 'llama3';
        readonly factor: number;
        readonly lowFrequencyFactor: number;
        readonly highFrequencyFactor: number;
        readonly originalContextLength: number;
      }
    /** Divisors of the inverse frequencies, one per pair, as GGUF's `rope_freqs.weight` carries them. */
    | { readonly kind: 'factors'; readonly factors: readonly number[] };
}

export interface DecoderSpec {
  /** `model_type` of config.json, `general.architecture` of GGUF. */
  readonly family: string;
  readonly hiddenSize: number;
  readonly intermediateSize: number;
  readonly layers: number;
  readonly heads: number;
  readonly keyValueHeads: number;
  readonly headDim: number;
  readonly vocabularySize: number;
  readonly contextLength: number;
  readonly normEpsilon: number;
  /** Bias on q, k, v and o projections. */
  readonly attentionBias: boolean;
  /** Bias on gate, up and down projections. */
  readonly mlpBias: boolean;
  /** The output head is the embedding matrix. */
  readonly tiedEmbeddings: boolean;
  readonly activation: 'silu';
  readonly rope: RopeSpec;
}

/** Inverse frequencies of the rotary embedding, `[dimension / 2]`, scaling applied; float64. */
export function ropeInverseFrequencies({ theta, dimension, scaling }: RopeSpec): number[] {
  const plain = Array.from({ length: dimension / 2 }, (_, i) => 1 / theta ** ((2 * i) / dimension));
  switch (scaling.kind) {
    case 'none':
      return plain;
    case 'linear':
      return plain.map((frequency) => frequency / scaling.factor);
    case 'factors':
      return plain.map((frequency, i) => frequency / scaling.factors[i]!);
    case 'llama3': {
      // transformers, modeling_rope_utils.py, _compute_llama3_parameters
      const { factor, lowFrequencyFactor, highFrequencyFactor, originalContextLength } = scaling;
      return plain.map((frequency) => {
        const wavelength = (2 * Math.PI) / frequency;
        if (wavelength < originalContextLength / highFrequencyFactor) return frequency;
        if (wavelength > originalContextLength / lowFrequencyFactor) return frequency / factor;
        const smooth = (originalContextLength / wavelength - lowFrequencyFactor) / (highFrequencyFactor - lowFrequencyFactor);
        return ((1 - smooth) * frequency) / factor + smooth * frequency;
      });
    }
  }
}

/** A frozen linear layer of one block. Names are transformers' module paths without `.weight`. */
export interface LinearLayer {
  /** `q_proj` */
  readonly name: string;
  /** `model.layers.3.self_attn.q_proj` */
  readonly path: string;
  readonly layer: number;
  readonly inFeatures: number;
  readonly outFeatures: number;
  readonly bias: boolean;
}

/** The seven linear layers of every block, in the order they are computed. */
export function linearLayers(spec: DecoderSpec): LinearLayer[] {
  const { hiddenSize: h, intermediateSize: f } = spec;
  const q = spec.heads * spec.headDim;
  const kv = spec.keyValueHeads * spec.headDim;
  const block = [
    ['self_attn.q_proj', h, q, spec.attentionBias],
    ['self_attn.k_proj', h, kv, spec.attentionBias],
    ['self_attn.v_proj', h, kv, spec.attentionBias],
    ['self_attn.o_proj', q, h, spec.attentionBias],
    ['mlp.gate_proj', h, f, spec.mlpBias],
    ['mlp.up_proj', h, f, spec.mlpBias],
    ['mlp.down_proj', f, h, spec.mlpBias],
  ] as const;
  return Array.from({ length: spec.layers }, (_, layer) =>
    block.map(([path, inFeatures, outFeatures, bias]) => ({
      name: path.slice(path.indexOf('.') + 1),
      path: `model.layers.${layer}.${path}`,
      layer,
      inFeatures,
      outFeatures,
      bias,
    })),
  ).flat();
}
