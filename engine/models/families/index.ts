/** Lists the model families that can be opened, and converts configs to a DecoderSpec and back to configs and GGUF names. */
import type { GgufValue } from '../../formats/gguf.ts';
import { Problem } from '../../problem.ts';
import type { Layout } from '../layout.ts';
import { kindOfFeedForward } from '../feed-forward/index.ts';
import { limitFault } from '../limits.ts';
import { kindOfMixer } from '../mixers/index.ts';
import type { NormSpec } from '../parts.ts';
import type { DecoderSpec, ModelTensor, RopeSpec } from '../spec.ts';
import type { Family, GgufFacts, GgufFamily } from './family.ts';
import { cohere, cohere2 } from './cohere.ts';
import { gemma, gemma2, gemma3, gemma3Text } from './gemma.ts';
import { gpt2 } from './gpt2.ts';
import { gptNeox } from './gpt_neox.ts';
import { granite } from './granite.ts';
import { llama } from './llama.ts';
import { ministral3, mistral3 } from './ministral3.ts';
import { mistral } from './mistral.ts';
import { phi } from './phi.ts';
import { phi3 } from './phi3.ts';
import { qwen2 } from './qwen2.ts';
import { qwen3 } from './qwen3.ts';
import { olmo, olmo2, olmo3 } from './olmo.ts';
import { ConfigReader, MetadataReader } from './reading.ts';
import { smollm3 } from './smollm3.ts';
import { stablelm } from './stablelm.ts';
import { starcoder2 } from './starcoder2.ts';

/** Holds the families by `model_type` of config.json. */
const families: Readonly<Record<string, Family>> = {
  cohere,
  cohere2,
  gemma,
  gemma2,
  gemma3_text: gemma3Text,
  gemma3,
  gpt2,
  gpt_neox: gptNeox,
  granite,
  llama,
  ministral3,
  mistral,
  mistral3,
  olmo,
  olmo2,
  olmo3,
  phi,
  phi3,
  qwen2,
  qwen3,
  smollm3,
  stablelm,
  starcoder2,
};

/** Holds the families by architecture. Of several with one architecture, the first is the one its files are read as. */
const ggufFamilies: ReadonlyMap<string, GgufFamily> = new Map(
  Object.values(families)
    .flatMap(({ gguf }) => (gguf === null ? [] : [[gguf.architecture, gguf] as const]))
    .toReversed(),
);

export const supportedFamilies: readonly string[] = Object.keys(families);

export interface Opening {
  /** Lists the unknown fields that are to be ignored. */
  readonly acceptFields: readonly string[];
  /** Receives sentences about fields that are read differently. */
  readonly notes: string[];
}

/** Reads the spec of a hub folder's config.json; `path` is for messages. An unknown family or field is a `Problem`. */
export function specFromConfig(
  config: Readonly<Record<string, unknown>>,
  path: string,
  { acceptFields, notes }: Opening = { acceptFields: [], notes: [] },
): DecoderSpec {
  const reader = new ConfigReader(config, { path, accept: new Set(acceptFields), notes });
  const type = reader.modelType();
  if (!Object.hasOwn(families, type)) throw unsupportedFamily(type, path, supportedFamilies);
  const spec = families[type]!.fromConfig(reader);
  reader.refuseUnread();
  return checkSpec(spec, path);
}

/** Reads the spec of a GGUF file. An unknown architecture or key is a `Problem`. */
export function specFromGguf(
  metadata: ReadonlyMap<string, GgufValue>,
  facts: GgufFacts,
  path: string,
  { acceptFields, notes }: Opening = { acceptFields: [], notes: [] },
): DecoderSpec {
  const architecture = metadata.get('general.architecture');
  if (architecture?.type !== 'string')
    throw new Problem('config-invalid', `'${path}' does not say its 'general.architecture'.`, 'Convert the model again.');
  const family = ggufFamilies.get(architecture.value);
  if (family === undefined) throw unsupportedFamily(architecture.value, path, [...ggufFamilies.keys()].sort());
  const reader = new MetadataReader(metadata, architecture.value, { path, accept: new Set(acceptFields), notes });
  const spec = family.fromMetadata(reader, facts);
  reader.refuseUnread();
  return checkSpec(spec, path);
}

function unsupportedFamily(name: string, path: string, supported: readonly string[]): Problem {
  return new Problem(
    'model-unsupported',
    `'${path}' is a '${name}' model, which is not supported yet.`,
    `Supported model types: ${supported.join(', ')}.`,
  );
}

/** Returns a config.json for a model that came without one. */
export function configOf(spec: DecoderSpec): Record<string, unknown> {
  return families[spec.family]!.toConfig(spec);
}

/** Returns `general.architecture` and the metadata under it. */
export function ggufMetadataOf(spec: DecoderSpec): { architecture: string; metadata: Map<string, GgufValue> } {
  const { architecture, toMetadata } = ggufFamilyOf(spec);
  const prefixed = [...toMetadata(spec)].map(([key, value]) => [`${architecture}.${key}`, value] as const);
  return { architecture, metadata: new Map(prefixed) };
}

/** Returns the name of a tensor in GGUF, such as `blk.3.attn_q.weight`. */
export function ggufName({ layer, role, kind }: ModelTensor): string {
  return layer === null ? `${role}.${kind}` : `blk.${layer}.${role}.${kind}`;
}

/** Returns how a GGUF stores a tensor, or null where that is the layout of the model. */
export function ggufLayout(tensor: ModelTensor, spec: DecoderSpec): Layout | null {
  return ggufFamilyOf(spec).layout?.(tensor, spec) ?? null;
}

/** Returns how a hub folder stores a tensor, or null where that is the layout of the model. */
export function hubLayout(tensor: ModelTensor, spec: DecoderSpec): Layout | null {
  return families[spec.family]!.hubLayout?.(tensor) ?? null;
}

/**
 * Lists the prefixes that the names of all tensors may have: those of a vision model (saved by transformers 4 and 5), of a
 * module around the model, and of the wrappers of DistributedDataParallel and torch.compile.
 */
const wrappers = ['', 'language_model.', 'model.language_model.', 'language_model.model.', 'model.', 'module.', '_orig_mod.'];

/** Lists the names under which a hub folder may store the tensor of this name, the usual one first. */
export function hubNames(name: string, spec: DecoderSpec): readonly string[] {
  const { hubAlias } = families[spec.family]!;
  const known = hubAlias === undefined ? [name] : [name, hubAlias(name)];
  // A class without a head saves its tensors without its own name: `layers.0` for `model.layers.0`, `h.0` for `transformer.h.0`.
  const outer = spec.modules.blocks.split('.').slice(0, -1);
  const bases = outer.map((_, i) => `${outer.slice(0, i + 1).join('.')}.`);
  const short = bases.flatMap((base) => (name.startsWith(base) ? [name.slice(base.length)] : []));
  return [...new Set([...known, ...wrappers.flatMap((wrapper) => [...known, ...short].map((each) => `${wrapper}${each}`))])];
}

/** Says whether a stored tensor belongs to no weight of any part of the model. */
export function isUnusedTensor(name: string, spec: DecoderSpec): boolean {
  return families[spec.family]!.unusedTensors?.test(name) ?? false;
}

/** Says whether a stored tensor belongs to a part besides the text model, such as the vision tower. */
export function isOfOtherPart(name: string, spec: DecoderSpec): boolean {
  return families[spec.family]!.otherParts?.test(name) ?? false;
}

/** Returns the names of the hub's tensors that, one after another, make up this one, or null where it is one tensor. */
export function hubParts(tensor: ModelTensor, spec: DecoderSpec): readonly string[] | null {
  return families[spec.family]!.hubParts?.(tensor) ?? null;
}

function ggufFamilyOf({ family }: DecoderSpec): GgufFamily {
  const { gguf } = families[family]!;
  if (gguf !== null) return gguf;
  throw new Problem(
    'export-unsupported',
    `There is no GGUF of a '${family}' model: llama.cpp does not know the family.`,
    'Export safetensors instead.',
  );
}

function checkSpec(spec: DecoderSpec, path: string): DecoderSpec {
  const invalid = (what: string): Problem =>
    new Problem(
      'config-invalid',
      `'${path}': ${what}.`,
      'The sizes do not describe a model; correct the file or download it again.',
    );
  const refuse = (fault: string | null): void => {
    if (fault !== null) throw invalid(fault);
  };
  const { hiddenSize, vocabularySize, contextLength, blocks, norm, head } = spec;
  const sizes = { hiddenSize, layers: blocks.length, vocabularySize, contextLength };
  for (const [what, value] of Object.entries(sizes) as [keyof typeof sizes, number][]) refuse(limitFault(what, value));
  for (const { mixer, feedForward, norm } of blocks) {
    refuse(kindOfMixer(mixer).fault(mixer));
    refuse(kindOfFeedForward(feedForward).fault(feedForward));
    refuse(epsilonFault(norm));
  }
  refuse(epsilonFault(norm));
  if (head.cap !== null && !(head.cap > 0)) throw invalid(`the bound of the logits is ${head.cap}`);
  const rotated = blocks.flatMap(({ mixer }) => (mixer.kind === 'attention' ? mixer : []));
  spec.ropes.forEach((rope, i) => {
    const users = rotated.filter((mixer) => mixer.rope === i);
    const widths = (users.length > 0 ? users : rotated).map(({ headDim }) => headDim);
    checkRope(rope, Math.min(...widths), invalid);
  });
  return spec;
}

function epsilonFault({ epsilon }: NormSpec): string | null {
  return epsilon > 0 && epsilon < 1 ? null : `the norm epsilon is ${epsilon}`;
}

function checkRope({ theta, dimension, scaling }: RopeSpec, headDim: number, invalid: (what: string) => Problem): void {
  if (!(theta > 0)) throw invalid(`the rotary base is ${theta}`);
  if (!Number.isSafeInteger(dimension) || dimension < 2 || dimension % 2 !== 0 || dimension > headDim)
    throw invalid(`${dimension} elements of a head of ${headDim} cannot be rotated`);
  const numbers = Object.values(scaling).flatMap((value: unknown) => (Array.isArray(value) ? (value as unknown[]) : [value]));
  if (numbers.some((value) => typeof value === 'number' && !(value > 0)))
    throw invalid('the rotary scaling must have positive numbers');
  const divisors =
    scaling.kind === 'factors'
      ? [scaling.factors]
      : scaling.kind === 'longrope'
        ? [scaling.shortFactors, scaling.longFactors]
        : [];
  if (divisors.some((factors) => factors.length !== dimension / 2))
    throw invalid(`the rotary divisors are not ${dimension / 2} numbers`);
  if (scaling.kind === 'llama3' && scaling.highFrequencyFactor === scaling.lowFrequencyFactor)
    throw invalid('the two frequency factors of the rotary scaling must differ');
}
