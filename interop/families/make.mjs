/** Makes a model of a family with random weights as a hub folder, and a random adapter for it as a PEFT folder. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { adapterShape, tensorView } from '../../engine/adapters/adapter.ts';
import { parseAdapterConfig } from '../../engine/adapters/config-file.ts';
import { writeAdapter } from '../../engine/adapters/folder.ts';
import { SafetensorsWriter } from '../../engine/formats/safetensors.ts';
import { hubLayout, hubParts, specFromConfig } from '../../engine/models/families/index.ts';
import { modelTensors } from '../../engine/models/spec.ts';
import { families } from './configs.mjs';
import { makeTokenizer } from './tokenizers.mjs';

export const familyNames = Object.keys(families);

/** Makes a model of a family and its adapter. @returns {{ base: string, adapter: string }} folders in `folder` */
export function makeFamily(family, folder) {
  const model = join(folder, 'base');
  mkdirSync(model, { recursive: true });
  const [style, own] = families[family];
  const tokenizer = makeTokenizer(style);
  const shared = { vocab_size: tokenizer.size, bos_token_id: tokenizer.begin, eos_token_id: tokenizer.end };
  const inner = own.text_config ? { text_config: { ...own.text_config, ...shared } } : { ...own, ...shared };
  const config = { model_type: family, ...inner, torch_dtype: 'float32' };
  const files = {
    ...{ 'config.json': config, ...tokenizer.files },
    'generation_config.json': { bos_token_id: tokenizer.begin, eos_token_id: tokenizer.end },
  };
  for (const [name, value] of Object.entries(files)) writeFileSync(join(model, name), JSON.stringify(value, null, 1));
  const spec = specFromConfig(config, join(model, 'config.json'));
  writeWeights(join(model, 'model.safetensors'), spec, new Normal(family));
  const adapter = join(folder, 'adapter');
  writeAdapter(adapter, randomAdapter(spec, new Normal(`${family} adapter`)), family);
  return { base: model, adapter };
}

/** Spread so that the logits are, and the likeliest token stands out. */
function writeWeights(path, spec, random) {
  // A tied head would say again what it was given, were the embedding not small beside what the blocks add.
  const outer = spec.tiedEmbeddings ? 0.05 / Math.sqrt(spec.embeddingScale) : 0.3;
  const written = modelTensors(spec).flatMap((tensor) => {
    const { shape, role, kind, layer } = tensor;
    const isMatrix = shape.length === 2 && !/norm/.test(role);
    const spread = !isMatrix ? 0.2 : layer === null ? outer : 0.7 / Math.sqrt(shape[1]);
    const plusOne = spec.norm.weight === 'plusOne' && !isMatrix;
    const mean = !isMatrix && kind === 'weight' && !plusOne ? 1 : 0;
    const values = random.fill(new Float32Array(shape.reduce((a, b) => a * b, 1)), mean, spread);
    const parts = hubParts(tensor, spec);
    if (parts !== null)
      return parts.map((name, i) => ({
        ...{ name, shape: shape.slice(1) },
        values: values.subarray((i * values.length) / parts.length, ((i + 1) * values.length) / parts.length),
      }));
    const layout = hubLayout(tensor, spec);
    return [{ name: tensor.name, shape: layout?.storedShape(shape) ?? shape, values: layout?.toFile(values, shape) ?? values }];
  });
  const writer = new SafetensorsWriter(
    path,
    written.map(({ name, shape }) => ({ name, shape, type: 'F32' })),
  );
  for (const { values } of written) writer.write(values);
  writer.finish();
}

/** On every linear layer of the blocks; A and B both random, so that it does something. */
function randomAdapter(spec, random) {
  const fields = { peft_type: 'LORA', task_type: 'CAUSAL_LM', r: 4, lora_alpha: 8, target_modules: 'all-linear' };
  const config = {
    ...parseAdapterConfig(JSON.stringify(fields), 'the adapter to be made'),
    fanInFanOut: spec.family === 'gpt2',
  };
  const shape = adapterShape(config, spec);
  const parameters = new Float32Array(shape.length);
  for (const tensor of shape.tensors) random.fill(tensorView(parameters, tensor), 0, 0.7 / Math.sqrt(tensor.shape[1]) / 2);
  return { config, shape, parameters, initial: null };
}

/** Normal numbers that follow from a name: xorshift and Box-Muller. */
class Normal {
  #state;

  constructor(name) {
    this.#state = [...name].reduce((hash, letter) => Math.imul(hash ^ letter.codePointAt(0), 16777619), 0x811c9dc5) | 1;
  }

  #uniform() {
    let x = this.#state;
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    this.#state = x;
    return ((x >>> 0) + 0.5) / 2 ** 32;
  }

  fill(values, mean, spread) {
    for (let i = 0; i < values.length; i++)
      values[i] = mean + spread * Math.sqrt(-2 * Math.log(this.#uniform())) * Math.cos(2 * Math.PI * this.#uniform());
    return values;
  }
}
