/** Defines what is read from a model's files in any format, and checks that every tensor exists and has the right shape. */
import { Problem } from '../problem.ts';
import { isOfOtherPart, isUnusedTensor } from './families/index.ts';
import type { Layout } from './layout.ts';
import { modelTensors, type DecoderSpec, type ModelTensor } from './spec.ts';
import type { TokenizerSource } from './tokenizer-source.ts';
import { inModelLayout, sameNumbers, type StoredTensor } from './weights.ts';

export interface StoredModel {
  readonly path: string;
  readonly format: 'hub' | 'gguf';
  readonly spec: DecoderSpec;
  readonly tensors: ReadonlyMap<string, StoredTensor>;
  readonly otherParts: readonly StoredTensor[];
  readonly files: readonly string[];
  readonly tokenizerSource: TokenizerSource | null;
  readonly acceptFields: readonly string[];
  readonly notes: readonly string[];
  readonly name: string;
  readonly hasChatTemplate: boolean;
  readonly licence: string | null;
}

/** Matches stored tensors that are no weights but caches of values that follow from the config. */
const derivedTensors = /((^|\.)rotary_emb\.inv_freq|^rope_freqs\.weight|\.attn_rot_embd|^rope_factors_.*)$/;

/** Selects the spec's tensors in its order and checks each. A missing tensor, or one the spec has no place for, is refused. */
export function selectTensors(
  model: string,
  spec: DecoderSpec,
  stored: ReadonlyMap<string, StoredTensor>,
  storedNames: (tensor: ModelTensor) => readonly string[],
  layoutOf: (tensor: ModelTensor, spec: DecoderSpec) => Layout | null,
): Map<string, StoredTensor> {
  const selected = new Map<string, StoredTensor>();
  const used = new Set<string>();
  const somewhere = [...stored.values()][0]?.path ?? model;
  for (const wanted of modelTensors(spec)) {
    const layout = layoutOf(wanted, spec);
    const shape = layout?.storedShape(wanted.shape) ?? wanted.shape;
    const names = storedNames(wanted);
    const [tensor, ...again] = names.flatMap((name) => stored.get(name) ?? []);
    if (!tensor && wanted.role === 'output')
      throw new Problem(
        'tensor-missing',
        `'${somewhere}' has no head ('${names[0]}'): the model was saved without it, so it cannot write text.`,
        'Use the model with its head (ForCausalLM), or set tie_word_embeddings in config.json if its head is the embedding.',
      );
    if (!tensor)
      throw new Problem(
        'tensor-missing',
        `'${somewhere}' has no tensor '${names[0]}', which its config asks for.`,
        'The model is incomplete or its config belongs to another one: download both again.',
      );
    if (tensor.shape.length !== shape.length || tensor.shape.some((extent, i) => extent !== shape[i]))
      throw new Problem(
        'tensor-shape',
        `'${tensor.path}': tensor '${tensor.name}' has the shape [${tensor.shape.join(', ')}], but the config asks for [${shape.join(', ')}].`,
        'The config belongs to another model: download both again.',
      );
    selected.set(wanted.name, inModelLayout(tensor, layout, wanted.shape));
    used.add(tensor.name);
    for (const other of again) {
      if (!sameNumbers(tensor, other))
        throw new Problem(
          'file-damaged',
          `'${other.path}' has the tensor '${tensor.name}' again as '${other.name}', with other numbers.`,
          'Which of them counts is not known: download the model again.',
        );
      used.add(other.name);
    }
  }
  for (const { name, path } of stored.values()) {
    if (/\.lora_(A|B|embedding_A|embedding_B|magnitude_vector)\b/.test(name))
      throw new Problem(
        'model-unsupported',
        `'${path}' has the tensor '${name}': an adapter lies among the weights that was never merged into them.`,
        "Merge it first (PEFT: merge_and_unload, then save_pretrained), or use the base model and the adapter's own folder.",
      );
    if (!used.has(name) && !derivedTensors.test(name) && !isUnusedTensor(name, spec) && !isOfOtherPart(name, spec))
      throw new Problem(
        'model-unsupported',
        `'${path}' has the tensor '${name}', which a ${spec.family} model of this config does not use.`,
        'The model computes something this version does not know; choose another one.',
      );
  }
  return selected;
}
