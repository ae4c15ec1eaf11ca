/** What each family reads of config.json, and what is refused. */
import { describe, expect, it } from 'vitest';
import { ropeInverseFrequencies } from '../rope.ts';
import { attentionOf } from '../mixers/index.ts';
import type { RopeScaling } from '../spec.ts';
import { configOf, specFromConfig, supportedFamilies } from './index.ts';
import { problemOf } from '../../testing/problem-of.ts';

const sizes =
  'hidden_size intermediate_size num_hidden_layers num_attention_heads vocab_size max_position_embeddings tie_word_embeddings';
const ropes = 'rope_theta rope_scaling rope_parameters partial_rotary_factor original_max_position_embeddings';
const heads = 'num_key_value_heads head_dim hidden_act';
const gemma = 'num_key_value_heads head_dim rms_norm_eps attention_bias use_bidirectional_attention';
const caps =
  'hidden_activation attn_logit_softcapping final_logit_softcapping query_pre_attn_scalar sliding_window layer_types';

/** Every field that a family reads; all of them change the computation, or are refused where they would. */
const fields: Readonly<Record<string, string>> = {
  cohere: `${sizes} ${ropes} ${heads} layer_norm_eps attention_bias logit_scale use_qk_norm`,
  cohere2: `${sizes} ${ropes} ${heads} layer_norm_eps attention_bias logit_scale sliding_window sliding_window_pattern _sliding_window_pattern layer_types`,
  gemma: `${sizes} ${ropes} ${gemma} hidden_act hidden_activation`,
  gemma2: `${sizes} ${ropes} ${gemma} ${caps}`,
  gemma3: 'text_config tie_word_embeddings',
  gemma3_text: `${sizes} ${gemma} ${caps} rope_theta rope_scaling rope_parameters rope_local_base_freq sliding_window_pattern _sliding_window_pattern`,
  gpt2: 'n_embd n_head n_layer n_inner n_positions vocab_size tie_word_embeddings activation_function layer_norm_epsilon scale_attn_weights scale_attn_by_inverse_layer_idx add_cross_attention',
  gpt_neox: `${sizes} hidden_act layer_norm_eps attention_bias use_parallel_residual rope_parameters rope_scaling rotary_emb_base rotary_pct rope_theta partial_rotary_factor`,
  granite: `${sizes} ${ropes} ${heads} rms_norm_eps attention_bias mlp_bias attention_multiplier embedding_multiplier logits_scaling residual_multiplier`,
  llama: `${sizes} ${ropes} ${heads} rms_norm_eps attention_bias mlp_bias rope_interleaved activation`,
  ministral3: `${sizes} ${heads} rms_norm_eps sliding_window layer_types rope_theta rope_scaling rope_parameters original_max_position_embeddings`,
  mistral: `${sizes} ${ropes} ${heads} rms_norm_eps sliding_window layer_types`,
  mistral3: 'text_config tie_word_embeddings',
  olmo: `${sizes} ${ropes} ${heads} attention_bias clip_qkv`,
  olmo2: `${sizes} ${ropes} ${heads} attention_bias rms_norm_eps`,
  olmo3: `${sizes} ${heads} attention_bias rms_norm_eps sliding_window layer_types rope_theta rope_scaling rope_parameters`,
  phi: `${sizes} ${ropes} ${heads} layer_norm_eps qk_layernorm`,
  phi3: `${sizes} ${ropes} ${heads} rms_norm_eps sliding_window layer_types attention_bias mlp_bias lm_head_bias full_attn_mod interpolate_factor`,
  qwen2: `${sizes} ${ropes} ${heads} rms_norm_eps use_sliding_window sliding_window max_window_layers layer_types use_mrope dual_chunk_attention_config`,
  qwen3: `${sizes} ${ropes} ${heads} rms_norm_eps use_sliding_window sliding_window max_window_layers layer_types attention_bias mlp_bias dual_chunk_attention_config`,
  smollm3: `${sizes} ${ropes} ${heads} rms_norm_eps use_sliding_window sliding_window layer_types no_rope_layers no_rope_layer_interval attention_bias mlp_bias`,
  stablelm: `${sizes} ${ropes} ${heads} layer_norm_eps use_qkv_bias use_parallel_residual qk_layernorm`,
  starcoder2: `${sizes} ${ropes} ${heads} norm_epsilon use_bias sliding_window layer_types norm_type mlp_type`,
};

/** Fields of the rotary parameters, by kind of scaling. */
const ropeFields = {
  default: '',
  linear: 'factor',
  dynamic: 'factor',
  llama3: 'factor low_freq_factor high_freq_factor',
  yarn: 'factor beta_fast beta_slow mscale mscale_all_dim attention_factor truncate',
  longrope: 'factor short_factor long_factor attention_factor',
} as const;

/** The same object, and the names of its fields that are asked for. */
function watched(object: Record<string, unknown>): { readonly object: Record<string, unknown>; readonly read: Set<string> } {
  const read = new Set<string>();
  const get = (target: Record<string, unknown>, key: string): unknown => {
    read.add(key);
    return target[key];
  };
  return { object: new Proxy(object, { get }), read };
}

const sorted = (names: Iterable<string>) => [...names].filter((name) => name !== '').sort();

/** The least that a config of this family must say. */
function least(family: string): Record<string, unknown> {
  return isTextPart(family) ? { model_type: family, text_config: {} } : { model_type: family };
}

/** Of a model that also sees. */
function isTextPart(family: string): boolean {
  return family === 'gemma3' || family === 'mistral3';
}

it('has a table of fields for every family', () => {
  expect(sorted(Object.keys(fields))).toEqual(sorted(supportedFamilies));
});

describe.each(supportedFamilies)('%s', (family) => {
  it('reads these fields, with a default for each', () => {
    const { object, read } = watched(least(family));
    expect(specFromConfig(object, 'config.json').family).toBe(family);
    expect(sorted(read)).toEqual(sorted(['model_type', ...fields[family]!.split(' ')]));
  });

  it('refuses a field nobody knows by its name, and takes it when it is accepted', () => {
    const strange = { ...least(family), strange_gate: 0.5 };
    const problem = problemOf(() => specFromConfig(strange, 'folder/config.json'));
    expect(problem).toMatchObject({ code: 'field-unknown', field: 'strange_gate' });
    expect(problem.toValue().field).toBe('strange_gate');
    expect(problem.message).toContain("'folder/config.json' has the field 'strange_gate'");
    expect(problem.hint).toContain('--accept-field strange_gate');
    const notes: string[] = [];
    const accepted = specFromConfig(strange, 'config.json', { acceptFields: ['strange_gate'], notes });
    expect(accepted).toEqual(specFromConfig(least(family), 'config.json'));
    expect(notes.join()).toContain("'strange_gate'");
    // A null says nothing, and accepting one field accepts no other.
    expect(specFromConfig({ ...strange, strange_gate: null }, 'config.json')).toEqual(accepted);
    expect(problemOf(() => specFromConfig(strange, 'c', { acceptFields: ['other'], notes })).code).toBe('field-unknown');
  });

  // The text part of a model that also sees comes from hub folders only; a GGUF of it is one that does not.
  it.skipIf(isTextPart(family))('writes a config that it reads as the same model', () => {
    const spec = specFromConfig(least(family), 'config.json');
    expect(specFromConfig(configOf(spec), 'config.json')).toEqual(spec);
  });

  it('does not mind what changes nothing', () => {
    const neutral = {
      ...{ architectures: ['SomethingForCausalLM'], transformers_version: '4.51.0', torch_dtype: 'bfloat16', use_cache: true },
      ...{ attention_dropout: 0.1, bos_token_id: 1, eos_token_id: [2, 3], pad_token_id: null, initializer_range: 0.02 },
      ...{ _name_or_path: 'someone/something', pretraining_tp: 1, is_decoder: false, unsloth_version: '2025.1' },
    };
    expect(specFromConfig({ ...least(family), ...neutral }, 'config.json')).toEqual(
      specFromConfig(least(family), 'config.json'),
    );
  });
});

it.each<[string, Record<string, unknown>]>([
  [
    'a SmolLM 3',
    {
      ...{ model_type: 'smollm3', max_window_layers: 28, pretraining_tp: 2, mlp_bias: false, no_rope_layer_interval: 4 },
      ...{
        layer_types: Array(36).fill('full_attention'),
        rope_theta: 5000000,
        use_sliding_window: false,
        sliding_window: null,
      },
    },
  ],
  [
    'a Phi 4 mini',
    {
      ...{ model_type: 'phi3', auto_map: {}, embd_pdrop: 0, resid_pdrop: 0, full_attn_mod: 1, interpolate_factor: 1 },
      ...{ attention_bias: false, lm_head_bias: false, mlp_bias: false, sliding_window: 262144, tie_word_embeddings: true },
      ...{ hidden_size: 3072, num_attention_heads: 24, num_key_value_heads: 8, partial_rotary_factor: 0.75 },
      ...{ max_position_embeddings: 131072, original_max_position_embeddings: 4096 },
      rope_scaling: { type: 'longrope', short_factor: Array(48).fill(1), long_factor: Array(48).fill(2) },
    },
  ],
  [
    'a Qwen 2.5',
    { model_type: 'qwen2', use_mrope: false, use_sliding_window: false, sliding_window: 32768, max_window_layers: 21 },
  ],
  [
    'a StarCoder 2',
    {
      ...{
        model_type: 'starcoder2',
        mlp_type: 'default',
        norm_type: 'layer_norm',
        embedding_dropout: 0.1,
        residual_dropout: 0.1,
      },
      ...{
        use_bias: true,
        sliding_window: 4096,
        rope_theta: 999999.44,
        attention_softmax_in_fp32: true,
        scale_attn_weights: true,
      },
    },
  ],
  [
    'a SmolLM 2',
    { model_type: 'llama', is_llama_config: true, rope_interleaved: false, 'transformers.js_config': { dtype: 'q4' } },
  ],
  [
    'a Phi 2',
    {
      model_type: 'phi',
      hidden_size: 2560,
      partial_rotary_factor: 0.4,
      qk_layernorm: false,
      resid_pdrop: 0.1,
      rope_scaling: null,
    },
  ],
  ['a Gemma 1.1', { model_type: 'gemma', hidden_act: 'gelu', hidden_activation: 'gelu_pytorch_tanh', head_dim: 256 }],
  [
    'a Gemma 2',
    {
      ...{ model_type: 'gemma2', hidden_act: 'gelu_pytorch_tanh', hidden_activation: 'gelu_pytorch_tanh' },
      ...{ cache_implementation: 'hybrid', sliding_window: 4096, sliding_window_size: 4096 },
    },
  ],
  ['a Falcon 3', { model_type: 'llama', activation: 'swiglu', hidden_act: 'silu', head_dim: 256 }],
  [
    'a Pythia that transformers 4 has saved',
    { model_type: 'gpt_neox', rotary_pct: 0.25, partial_rotary_factor: 0.25, rotary_emb_base: 10000, rope_theta: 10000 },
  ],
  ['a GPT-2 XL', { model_type: 'gpt2', output_past: true, n_ctx: 1024, task_specific_params: {} }],
  ['a Qwen 2.5 for a million tokens', { model_type: 'qwen2', dual_chunk_attention_config: { chunk_size: 262144 } }],
  [
    'a Mistral Small 3.1',
    {
      ...{ model_type: 'mistral3', image_token_index: 10, multimodal_projector_bias: false, projector_hidden_act: 'gelu' },
      ...{ spatial_merge_size: 2, vision_feature_layer: -1, vision_config: { model_type: 'pixtral' } },
      text_config: { model_type: 'mistral', head_dim: 128, sliding_window: null, rope_theta: 1e9 },
    },
  ],
  [
    'a Ministral 3',
    {
      ...{ model_type: 'mistral3', image_token_index: 10, vision_config: {}, tie_word_embeddings: true },
      text_config: { model_type: 'ministral3', tie_word_embeddings: true },
    },
  ],
])('takes the config of %s as hubs have it', (_, config) => {
  expect(specFromConfig(config, 'config.json').family).toBe(config['model_type']);
});

describe('rotary parameters', () => {
  const lists = { short_factor: Array<number>(64).fill(1), long_factor: Array<number>(64).fill(2) };
  const base = { factor: 4, low_freq_factor: 1, high_freq_factor: 4, original_max_position_embeddings: 512, ...lists };
  const given = (kind: keyof typeof ropeFields) =>
    Object.fromEntries(Object.entries(base).filter(([key]) => ropeFields[kind].split(' ').includes(key)));

  it.each(Object.keys(ropeFields) as (keyof typeof ropeFields)[])(
    '%s reads these fields, in the old form and the new',
    (kind) => {
      const { object, read } = watched({ rope_type: kind, original_max_position_embeddings: 512, ...given(kind) });
      const newer = specFromConfig({ model_type: 'llama', rope_parameters: { ...object, rope_theta: 5000 } }, 'config.json');
      const older = specFromConfig({ model_type: 'llama', rope_theta: 5000, rope_scaling: object }, 'config.json');
      expect(older).toEqual(newer);
      const always = 'rope_type type rope_theta partial_rotary_factor original_max_position_embeddings';
      expect(sorted(read)).toEqual(sorted(`${always} ${ropeFields[kind]}`.split(' ')));
      const typed = { type: kind, original_max_position_embeddings: 512, ...given(kind) };
      expect(specFromConfig({ model_type: 'llama', rope_theta: 5000, rope_scaling: typed }, 'config.json')).toEqual(newer);
      const strange = { model_type: 'llama', rope_scaling: { ...typed, speed: 1 } };
      expect(problemOf(() => specFromConfig(strange, 'config.json'))).toMatchObject({
        code: 'field-unknown',
        field: 'rope_scaling.speed',
      });
      expect(specFromConfig(strange, 'config.json', { acceptFields: ['rope_scaling.speed'], notes: [] }).ropes).toHaveLength(1);
    },
  );

  const scalingOf = (config: Record<string, unknown>): RopeScaling => specFromConfig(config, 'config.json').ropes[0]!.scaling;

  it('counts from the context where they do not say, and a length beside them outweighs theirs', () => {
    const yarn = { rope_type: 'yarn', factor: 4 };
    const config = { model_type: 'llama', max_position_embeddings: 4096, rope_scaling: yarn };
    expect(scalingOf(config)).toMatchObject({ originalContextLength: 4096, attentionFactor: 0.1 * Math.log(4) + 1 });
    expect(scalingOf({ ...config, original_max_position_embeddings: 1024 })).toMatchObject({ originalContextLength: 1024 });
    const longrope = { type: 'su', short_factor: Array(48).fill(1), long_factor: Array(48).fill(2) };
    const phi3 = { model_type: 'phi3', max_position_embeddings: 131072, rope_scaling: longrope };
    expect(scalingOf(phi3)).toMatchObject({
      kind: 'longrope',
      originalContextLength: 4096,
      attentionFactor: Math.sqrt(1 + Math.log(32) / Math.log(4096)),
    });
  });

  it('an empty rope_scaling says nothing, another one replaces rope_parameters', () => {
    const parameters = { rope_type: 'linear', factor: 2, rope_theta: 5000 };
    const config = { model_type: 'llama', rope_parameters: parameters };
    expect(scalingOf({ ...config, rope_scaling: {} })).toEqual({ kind: 'linear', factor: 2 });
    expect(scalingOf({ ...config, rope_scaling: { type: 'linear', factor: 3 } })).toEqual({ kind: 'linear', factor: 3 });
  });

  it('scales dynamically beyond the trained length, as transformers does', () => {
    const config = { model_type: 'llama', max_position_embeddings: 10, hidden_size: 32, num_attention_heads: 4 };
    const [rope] = specFromConfig({ ...config, rope_scaling: { type: 'dynamic', factor: 4 } }, 'config.json').ropes;
    expect(ropeInverseFrequencies(rope!, 10)).toEqual(ropeInverseFrequencies({ ...rope!, scaling: { kind: 'none' } }, 10));
    // _compute_dynamic_ntk_parameters for rows of 25 tokens.
    [1.0, 0.05227579548954964, 0.0027327588759362698, 0.0001428571413271129].forEach((frequency, i) =>
      expect(ropeInverseFrequencies(rope!, 25)[i]! / frequency).toBeCloseTo(1, 6),
    );
  });

  it('says what a dynamic scaling does', () => {
    const notes: string[] = [];
    const config = { model_type: 'llama', rope_scaling: { type: 'dynamic', factor: 2 } };
    specFromConfig(config, 'config.json', { acceptFields: [], notes });
    expect(notes.join()).toMatch(/dynamically \(factor 2\).*2048 tokens/);
  });
});

it('does not bound the scores of a Gemma 3, as nobody does, and says so', () => {
  const notes: string[] = [];
  const config = { model_type: 'gemma3_text', attn_logit_softcapping: 50 };
  expect(attentionOf(specFromConfig(config, 'config.json', { acceptFields: [], notes }).blocks[0]!).scoreCap).toBeNull();
  expect(notes.join()).toContain('attn_logit_softcapping');
});

it('a window that is null is none, and one that is left out is the family’s', () => {
  const windowOf = (config: Record<string, unknown>) => attentionOf(specFromConfig(config, 'config.json').blocks[0]!).window;
  expect(windowOf({ model_type: 'mistral' })).toBe(4096);
  expect(windowOf({ model_type: 'mistral', sliding_window: null })).toBeNull();
  expect(windowOf({ model_type: 'qwen2', sliding_window: 128 })).toBeNull();
  expect(windowOf({ model_type: 'qwen2', sliding_window: 128, use_sliding_window: true, max_window_layers: 0 })).toBe(128);
  const notes: string[] = [];
  specFromConfig({ model_type: 'mistral' }, 'config.json', { acceptFields: [], notes });
  expect(notes.join()).toMatch(/back 4096 tokens in every layer.*GGUF/);
});

it.each<[string, Record<string, unknown>, RegExp]>([
  ['layer types of another length', { model_type: 'qwen2', layer_types: ['full_attention'] }, /layer_types/],
  [
    'sliding layers without a window',
    { model_type: 'qwen3', num_hidden_layers: 1, layer_types: ['sliding_attention'] },
    /sliding/,
  ],
  ['chunked attention', { model_type: 'qwen3', num_hidden_layers: 1, layer_types: ['chunked_attention'] }, /chunked_attention/],
  ['a part of a head where all of it is rotated', { model_type: 'llama', partial_rotary_factor: 0.5 }, /partial_rotary_factor/],
  ['multimodal rotation', { model_type: 'qwen2', use_mrope: true }, /use_mrope/],
  ['linear scaling for Phi 3', { model_type: 'phi3', rope_scaling: { type: 'linear', factor: 2 } }, /linear/],
  ['Phi 3 with biases', { model_type: 'phi3', attention_bias: true }, /attention_bias/],
  ['Gemma with two activations', { model_type: 'gemma', hidden_act: 'relu', hidden_activation: 'gelu' }, /hidden_activation/],
  [
    'bounded logits of a Gemma 3 that sees',
    { model_type: 'gemma3', text_config: { final_logit_softcapping: 30 } },
    /final_logit_softcapping/,
  ],
  [
    'a scaling that versions of transformers read differently',
    { model_type: 'olmo3', rope_scaling: { type: 'yarn', factor: 4 } },
    /rope_scaling.type/,
  ],
  ['an eye beside another language', { model_type: 'mistral3', text_config: { model_type: 'mixtral' } }, /mixtral/],
  ['StarCoder 2 with another norm', { model_type: 'starcoder2', norm_type: 'rms' }, /norm_type/],
])('refuses: %s', (_, config, message) => {
  const problem = problemOf(() => specFromConfig(config, 'config.json'));
  expect(['model-unsupported', 'config-invalid']).toContain(problem.code);
  expect(problem.message).toMatch(message);
});

it.each(['mamba', 'qwen3_moe', 'lfm2', 'qwen3_5', 'gemma4', 'constructor'])(
  'refuses %s with the families that are supported',
  (family) => {
    const problem = problemOf(() => specFromConfig({ model_type: family }, 'config.json'));
    expect(problem.code).toBe('model-unsupported');
    expect(problem.message).toContain(`'${family}'`);
    for (const name of supportedFamilies) expect(problem.hint).toContain(name);
  },
);
