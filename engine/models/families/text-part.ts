/** Reads the text part of a vision model, whose config is in `text_config` and whose tensors are under `language_model`. */
import type { DecoderSpec, OuterNames } from '../spec.ts';
import type { Family } from './family.ts';
import type { ConfigReader } from './reading.ts';

/** Holds the fields of a family that the hub's files of every vision model have in common. */
export const textPart = {
  otherParts: /(^|\.)(vision_tower|multi_modal_projector)\./,
} as const satisfies Pick<Family, 'otherParts'>;

/** Reads the spec of the text part, whose config is of one of the families in `texts`, of the first where it does not say. */
export function readTextPart(config: ConfigReader, family: string, texts: Readonly<Record<string, Family>>): DecoderSpec {
  const text = config.object('text_config');
  if (text === null) throw config.unsupported('text_config', null);
  const type = text.text('model_type', Object.keys(texts)[0]!);
  if (!Object.hasOwn(texts, type)) throw text.unsupported('model_type', type);
  // The structure of the vision tower does not change what the text model computes.
  config.ignore('vision_config', 'image_token_index', 'image_token_id');
  const spec = texts[type]!.fromConfig(text);
  text.refuseUnread();
  return {
    ...spec,
    family,
    modules: languageModel(spec.modules),
    tiedEmbeddings: config.flag('tie_word_embeddings', true),
  };
}

function languageModel(modules: OuterNames): OuterNames {
  const inside = (path: string): string => path.replace(/^model\./, 'model.language_model.');
  return {
    ...modules,
    token_embd: inside(modules.token_embd),
    output_norm: inside(modules.output_norm),
    blocks: inside(modules.blocks),
  };
}
