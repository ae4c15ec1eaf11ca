/** Reads sliding windows of attention. */
import type { ConfigReader } from './reading.ts';
import type { UniformSpec } from './uniform.ts';

/**
 * Adds a window to the blocks that `layer_types` calls sliding or, without that list, to those that `usually` have one. Where
 * `usually` is left out, transformers gives all blocks the window whatever the list says. llama.cpp has no window for these
 * families.
 */
export function withWindows(
  config: ConfigReader,
  spec: UniformSpec,
  window: number | null,
  usually?: (layer: number) => boolean,
): UniformSpec {
  const windows = readWindows(config, spec.layers, window, usually ?? (() => true));
  if (usually === undefined && windows.some((own) => own !== window))
    throw config.unsupported('layer_types', config.optional('layer_types'));
  const blocks = spec.blocks.map((block, layer) => ({ ...block, window: windows[layer]! }));
  const sliding = blocks.filter((block) => block.window !== null).length;
  if (window !== null && sliding > 0 && window < spec.contextLength)
    config.note(
      `Attention reaches back ${window} tokens in ${sliding === spec.layers ? 'every layer' : `${sliding} of ${spec.layers} layers`}. llama.cpp has no such window for this family: there, a GGUF of it computes rows beyond ${window} tokens differently.`,
    );
  return { ...spec, blocks };
}

/** Reads the window of each layer from `layer_types`, which says `sliding_attention` or `full_attention` for each. */
export function readWindows(
  config: ConfigReader,
  layers: number,
  window: number | null,
  usual: (layer: number) => boolean,
): (number | null)[] {
  const types = config.layerTexts('layer_types', layers);
  return Array.from({ length: layers }, (_, layer) => {
    const type = types?.[layer] ?? (usual(layer) ? 'sliding_attention' : 'full_attention');
    if (type === 'full_attention' || type === 'attention') return null;
    if (type !== 'sliding_attention' || (types !== null && window === null)) throw config.unsupported('layer_types', type);
    return window;
  });
}
