/** Defines transformers' module paths of a whole model, and those of Llama that many families share. */
import type { BlockNames, OuterNames } from '../spec.ts';

/** Holds the names outside of the blocks and within each of them. */
export interface ModuleNames extends OuterNames {
  readonly block: BlockNames;
}

/** Holds the module names of Llama and of the many families that follow it. */
export const llamaModules: ModuleNames = {
  token_embd: 'model.embed_tokens',
  output_norm: 'model.norm',
  output: 'lm_head',
  blocks: 'model.layers',
  block: {
    attn_norm: 'input_layernorm',
    attn_q: 'self_attn.q_proj',
    attn_k: 'self_attn.k_proj',
    attn_v: 'self_attn.v_proj',
    attn_output: 'self_attn.o_proj',
    ffn_norm: 'post_attention_layernorm',
    ffn_gate: 'mlp.gate_proj',
    ffn_up: 'mlp.up_proj',
    ffn_down: 'mlp.down_proj',
  },
};
