/** The names under which programs keep an adapter's tensors and modules, brought to the model's own. */
import type { DecoderSpec } from '../models/spec.ts';
import { targetModules, wholeTensors } from './targets.ts';

/** What training frameworks put around modules, as a part of every path through them. */
const wrappers = /(^|\.)(?:_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module|_forward_module)(?=\.)/g;

/**
 * Where the decoder lies: alone, in a model that also sees as transformers has had it since 4.52, and as it had it before, which is
 * also what mlx-lm has.
 */
const places = ['model.', 'model.language_model.', 'language_model.model.'];

function placeOf({ modules }: DecoderSpec): string {
  return places.toReversed().find((place) => modules.blocks.startsWith(place) && modules.blocks !== place) ?? '';
}

/** The same decoder under the names it had or has elsewhere. */
export function elsewhere(spec: DecoderSpec): DecoderSpec[] {
  const own = placeOf(spec);
  if (own === '') return [];
  const { modules } = spec;
  return places
    .filter((place) => place !== own)
    .map((place) => {
      const moved = (path: string): string => path.replace(own, place);
      const output = place.startsWith('language_model.') ? `language_model.${modules.output}` : modules.output;
      const named = { token_embd: moved(modules.token_embd), blocks: moved(modules.blocks), output };
      return { ...spec, modules: { ...modules, ...named, output_norm: moved(modules.output_norm) } };
    });
}

/** A function from a module's path, under whatever name it has, to its path in the model; what the model lacks stays as it is. */
export function pathsOf(spec: DecoderSpec): (path: string) => string {
  const own = placeOf(spec);
  const known = new Set([
    ...targetModules(spec).map(({ path }) => path),
    ...wholeTensors(spec).map(({ name }) => name.slice(0, name.lastIndexOf('.'))),
  ]);
  return (path) => {
    if (known.has(path)) return path;
    const candidates = [
      ...places.filter((place) => path.startsWith(place)).map((place) => own + path.slice(place.length)),
      path.replace(/^language_model\./, ''),
    ];
    return candidates.find((candidate) => known.has(candidate)) ?? path;
  };
}

/** A key without what frameworks and PEFT put in front of the model's own path. */
export function bare(name: string): string {
  const unwrapped = name
    .replace(wrappers, '$1')
    .replace(/^\.+/, '')
    .replaceAll(/\.{2,}/g, '.');
  return unwrapped.replace(/^(?:module\.|base_model\.model\.)*/, '');
}

/**
 * A key of PEFT as it writes it now, without its prefix and without `base_layer`: older versions kept the adapter's name in it
 * (`lora_A.default.weight`) or ended magnitudes in `.weight`. Null for what a module had before it was trained whole.
 */
export function peftKey(name: string, pathOf: (path: string) => string): string | null {
  const key = bare(name)
    .replace(/\.(lora_[AB])\.[^.]+\.weight$/, '.$1.weight')
    .replace(/\.(lora_embedding_[AB]|lora_magnitude_vector)(?:\.[^.]+)*$/, '.$1')
    .replace(/\.modules_to_save\.(?:[^.]+\.)?(\w+)$/, '.$1')
    .replace(/\.base_layer\.(weight|bias)$/, '.$1');
  if (/\.original_module\.\w+$/.test(key)) return null;
  const [, path, part] = /^(.*?)\.(lora_[AB]\.weight|lora_embedding_[AB]|lora_magnitude_vector|weight|bias)$/.exec(key) ?? [];
  return path === undefined ? key : `${pathOf(path)}.${part}`;
}
