/** What an adapter does to a matrix is what its definition says, to the last bit, whatever its rank. */
import { expect, it } from 'vitest';
import { specFromConfig } from '../models/families/index.ts';
import { adapterShape, tensorView, type AdaptedModule, type Adapter } from './adapter.ts';
import { parseAdapterConfig } from './config-file.ts';
import { addDeltas } from './delta.ts';

const spec = specFromConfig(
  {
    ...{ model_type: 'llama', hidden_size: 12, intermediate_size: 20, num_hidden_layers: 1, num_attention_heads: 3 },
    ...{ num_key_value_heads: 1, vocab_size: 10, max_position_embeddings: 64 },
  },
  'config.json',
);

/** Numbers in [-0.5, 0.5) without a pattern that sums could hide in. */
function numbers(length: number, seed: number): Float32Array {
  return Float32Array.from(
    { length },
    (_, i) => ((Math.imul(i + 1, 2654435761) ^ Math.imul(seed, 40503)) >>> 0) / 2 ** 32 - 0.5,
  );
}

function adapterOf(rank: number, dora: boolean): Adapter {
  const fields = { peft_type: 'LORA', r: rank, lora_alpha: 3, use_dora: dora, target_modules: ['up_proj', 'embed_tokens'] };
  const config = parseAdapterConfig(JSON.stringify(fields), 'adapter_config.json');
  const shape = adapterShape(config, spec);
  return { config, shape, parameters: numbers(shape.length, rank), initial: null };
}

/** Element by element, in float64. */
function byDefinition(weight: Float32Array, { parameters }: Adapter, share: number, module: AdaptedModule): Float32Array {
  const { kind, rank, scale, inFeatures, outFeatures } = module;
  const [a, b] = [tensorView(parameters, module.a), tensorView(parameters, module.b)];
  const place = (output: number, input: number) =>
    kind === 'linear' ? output * inFeatures + input : input * outFeatures + output;
  const result = new Float32Array(weight.length);
  for (let output = 0; output < outFeatures; output++) {
    const sums = Array.from({ length: inFeatures }, (_, input) => {
      let delta = 0;
      for (let k = 0; k < rank; k++) {
        const [left, right] = [b[output * rank + k]!, a[k * inFeatures + input]!];
        delta += kind === 'linear' ? left * scale * right : right * scale * left;
      }
      return weight[place(output, input)]! + delta;
    });
    const length = Math.sqrt(sums.reduce((squares, value) => squares + value ** 2, 0));
    const factor = module.magnitude === null ? 1 : tensorView(parameters, module.magnitude)[output]! / length;
    sums.forEach((sum, input) => {
      const own = weight[place(output, input)]!;
      result[place(output, input)] = own + share * (factor * sum - own);
    });
  }
  return result;
}

it.each([1, 3, 4, 7, 8])('rank %i', (rank) => {
  for (const dora of [false, true]) {
    const adapter = adapterOf(rank, dora);
    expect(adapter.shape.modules.map(({ kind }) => kind).toSorted()).toEqual(['embedding', 'linear']);
    for (const module of adapter.shape.modules) {
      const base = numbers(module.inFeatures * module.outFeatures, 0);
      const weight = base.slice();
      addDeltas(weight, module.path, [{ adapter, weight: 0.75 }]);
      expect(weight).toEqual(byDefinition(base, adapter, 0.75, module));
    }
  }
});
