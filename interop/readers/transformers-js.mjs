/** Reads exports with transformers.js, on our own onnxruntime. */
import { basename, dirname } from 'node:path';
// First, because it is what keeps the runtime they share from reporting to its maker.
import '../../engine/runtime/session.ts';
import { AutoModelForCausalLM, AutoTokenizer, env, Tensor } from '@huggingface/transformers';

/** What it calls our precisions. */
const dtypes = { f32: 'fp32', f16: 'fp16', q8: 'q8', q4: 'q4' };

env.allowRemoteModels = false;
env.useFSCache = false;

export class TransformersJs {
  version = `transformers.js ${env.version}`;

  /**
   * Returns token ids of `texts`, the conversation as its template writes it, the logits after every token but the last of
   * `tokens`, and its own greedy answer to the first `promptLength` of them.
   */
  async read(path, { quantization, texts, conversation, tokens, promptLength }) {
    env.localModelPath = dirname(path);
    const name = basename(path);
    const tokenizer = await AutoTokenizer.from_pretrained(name);
    const ids = texts.map((text) => tokenizer.encode(text, { add_special_tokens: false }));
    const rendered = tokenizer.apply_chat_template(conversation, { tokenize: false, add_generation_prompt: true });
    const model = await AutoModelForCausalLM.from_pretrained(name, { dtype: dtypes[quantization], device: 'cpu' });
    try {
      const { logits } = await model(rowOf(tokens.slice(0, -1)));
      const [, positions, width] = logits.dims;
      const greedy = await model.generate({
        ...rowOf(tokens.slice(0, promptLength)),
        ...{ max_new_tokens: tokens.length - promptLength, do_sample: false, eos_token_id: [] },
      });
      return {
        ...{ ids, rendered, answer: [...greedy.data].slice(promptLength).map(Number) },
        logits: Array.from({ length: positions }, (_, t) => logits.data.subarray(t * width, (t + 1) * width)),
      };
    } finally {
      await model.dispose();
    }
  }

  stop() {}
}

function rowOf(ids) {
  const tensor = (values) => new Tensor('int64', BigInt64Array.from(values, BigInt), [1, ids.length]);
  return { input_ids: tensor(ids), attention_mask: tensor(ids.map(() => 1)) };
}
