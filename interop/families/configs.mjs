/**
 * Each family has one small config.json, with what makes the family. Every one fits the kernels of llama.cpp (heads of 64, rows
 * of 256).
 */

const sizes = {
  hidden_size: 256,
  intermediate_size: 512,
  num_hidden_layers: 2,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  max_position_embeddings: 512,
};
const { num_key_value_heads: _shared, ...ownKeys } = sizes;
const gemma = { ...sizes, head_dim: 64, hidden_activation: 'gelu_pytorch_tanh', rms_norm_eps: 1e-6 };
/** Shorter than the texts, so that it shows. */
const window = 16;
const every = (count, layers) =>
  Array.from({ length: layers }, (_, layer) => ((layer + 1) % count === 0 ? 'full_attention' : 'sliding_attention'));
const gemma3 = {
  ...{ ...gemma, num_hidden_layers: 6, sliding_window: window, query_pre_attn_scalar: 64, layer_types: every(6, 6) },
  ...{ rope_theta: 1e6, rope_local_base_freq: 1e4 },
};
const ministral3 = {
  ...{ ...sizes, head_dim: 64, rms_norm_eps: 1e-5, tie_word_embeddings: false, sliding_window: null },
  rope_parameters: {
    ...{ rope_type: 'yarn', rope_theta: 1e6, factor: 16, original_max_position_embeddings: 32, beta_fast: 32 },
    ...{ beta_slow: 1, mscale: 1, mscale_all_dim: 1, llama_4_scaling_beta: 0.1 },
  },
};
const growing = (from, to) => Array.from({ length: 32 }, (_, i) => from + ((to - from) * i) / 31);

/** Each `model_type` has the style of its tokenizer, and its config. */
export const families = {
  cohere: ['cohere', { ...sizes, logit_scale: 0.25, tie_word_embeddings: true, rope_theta: 10000 }],
  cohere2: [
    'cohere',
    {
      ...{ ...sizes, head_dim: 64, num_hidden_layers: 4, logit_scale: 0.25, tie_word_embeddings: true, rope_theta: 50000 },
      ...{ sliding_window: window, layer_types: every(4, 4) },
    },
  ],
  gemma: [
    'gemma',
    { ...sizes, head_dim: 64, rms_norm_eps: 1e-6, num_key_value_heads: 1, hidden_act: 'gelu_pytorch_tanh', rope_theta: 10000 },
  ],
  gemma2: ['gemma', { ...gemma, sliding_window: window, query_pre_attn_scalar: 64, rope_theta: 10000 }],
  gemma3_text: ['gemma', gemma3],
  gemma3: ['gemma', { text_config: { model_type: 'gemma3_text', ...gemma3 } }],
  gpt2: ['gpt2', { n_embd: 256, n_inner: 512, n_layer: 2, n_head: 4, n_positions: 512, tie_word_embeddings: true }],
  gpt_neox: ['neox', { ...ownKeys, rotary_pct: 0.25, hidden_act: 'gelu', tie_word_embeddings: false }],
  granite: [
    'digits',
    {
      ...{ ...sizes, embedding_multiplier: 6, logits_scaling: 2, residual_multiplier: 0.5, attention_multiplier: 0.1 },
      ...{ rope_theta: 10000, tie_word_embeddings: true },
    },
  ],
  llama: [
    'llama3',
    {
      ...{ ...sizes, head_dim: 64, rms_norm_eps: 1e-5, rope_theta: 500000, tie_word_embeddings: false },
      rope_scaling: {
        ...{ rope_type: 'llama3', factor: 8, low_freq_factor: 1, high_freq_factor: 4 },
        original_max_position_embeddings: 64,
      },
    },
  ],
  ministral3: ['tekken', ministral3],
  mistral3: ['tekken', { text_config: { model_type: 'ministral3', ...ministral3 }, tie_word_embeddings: false }],
  mistral: ['sentencepiece', { ...sizes, head_dim: 64, sliding_window: null, rope_theta: 10000, tie_word_embeddings: false }],
  olmo: ['neox', { ...sizes, clip_qkv: 2.5, rope_theta: 10000, tie_word_embeddings: false }],
  olmo2: ['cl100k', { ...sizes, rms_norm_eps: 1e-6, rope_theta: 500000, tie_word_embeddings: false }],
  olmo3: [
    'cl100k',
    {
      ...{ ...sizes, num_hidden_layers: 4, rms_norm_eps: 1e-6, rope_theta: 500000, tie_word_embeddings: false },
      ...{ sliding_window: window, layer_types: every(4, 4) },
    },
  ],
  phi: ['gpt2', { ...ownKeys, partial_rotary_factor: 0.5, hidden_act: 'gelu_new', tie_word_embeddings: false }],
  phi3: [
    'sentencepiece',
    {
      ...{ ...sizes, max_position_embeddings: 1024, original_max_position_embeddings: 512, sliding_window: null },
      ...{ rope_theta: 10000, tie_word_embeddings: false, pad_token_id: 0 },
      rope_scaling: { type: 'longrope', short_factor: growing(1, 1.5), long_factor: growing(2, 8) },
    },
  ],
  qwen2: ['qwen2', { ...sizes, rope_theta: 1e6, tie_word_embeddings: true }],
  qwen3: ['qwen2', { ...sizes, head_dim: 128, rope_theta: 1e6, tie_word_embeddings: true }],
  smollm3: ['llama3', { ...sizes, num_hidden_layers: 4, rope_theta: 2e6, tie_word_embeddings: true, pad_token_id: 0 }],
  stablelm: ['stablelm2', { ...sizes, use_qkv_bias: true, partial_rotary_factor: 0.25, tie_word_embeddings: false }],
  starcoder2: ['digits', { ...sizes, sliding_window: null, use_bias: true, rope_theta: 10000, tie_word_embeddings: true }],
};
