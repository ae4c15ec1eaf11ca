/** Translates the names under which programs store an adapter's tensors and modules into the model's own names. */
import type { DecoderSpec } from '../models/spec.ts';
import { targetModules, wholeTensors } from './targets.ts';

/** Matches the names of wrappers that training frameworks put around modules and thereby into their paths. */
const wrappers = /(^|\.)(?:_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module|_forward_module)(?=\.)/g;

/**
 * Lists the prefixes of a decoder: alone, in a vision model as named since transformers 4.52, and in a vision model as named
 * before, which mlx-lm still does.
 */
const places = ['model.', 'model.language_model.', 'language_model.model.'];

function placeOf({ modules }: DecoderSpec): string {
  return places.toReversed().find((place) => modules.blocks.startsWith(place) && modules.blocks !== place) ?? '';
}

/** Lists the same decoder under the other names that programs give its modules. */
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

/**
 * Returns a function that maps a module's path under any known name to its path in the model; unknown paths stay as they are.
 */
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

/** Removes from a key the prefixes that frameworks and PEFT put before the model's own path. */
export function bare(name: string): string {
  const unwrapped = name
    .replace(wrappers, '$1')
    .replace(/^\.+/, '')
    .replaceAll(/\.{2,}/g, '.');
  return unwrapped.replace(/^(?:module\.|base_model\.model\.)*/, '');
}

/**
 * Returns a key as current versions of PEFT write it, without its prefix and without `base_layer`. Older versions kept the
 * adapter's name in it (`lora_A.default.weight`) or ended magnitudes in `.weight`. Null stands for the original of a module
 * trained whole.
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
