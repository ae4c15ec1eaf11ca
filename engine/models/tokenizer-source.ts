/** Says where the tokenizer of a model is read from, and reads its files in a hub folder. */
import { fileIn, readJsonObject, readText, refuseStandIn, withFile } from '../formats/files.ts';
import type { GgufValue } from '../formats/gguf.ts';

export type TokenizerSource =
  | {
      readonly kind: 'hub';
      /** Gives the text of tokenizer.json, tens of MB for a large vocabulary, read on first use. */
      readonly tokenizerJson: string;
      readonly tokenizerConfig: Readonly<Record<string, unknown>>;
      /** Holds the content of special_tokens_map.json and added_tokens.json, which older folders have. */
      readonly specialTokensMap?: Readonly<Record<string, unknown>> | null;
      readonly addedTokens?: Readonly<Record<string, unknown>> | null;
      readonly generationConfig: Readonly<Record<string, unknown>> | null;
      /** Holds the model's config.json, which names the class of the tokenizer and the ids for generation. */
      readonly config?: Readonly<Record<string, unknown>> | null;
      readonly chatTemplate: string | null;
    }
  | { readonly kind: 'gguf'; readonly metadata: ReadonlyMap<string, GgufValue> };

/** These limits in bytes exceed any real file of these kinds. */
const textLimits = { config: 16 << 20, tokenizer: 128 << 20 };

/** Reads the tokenizer of a hub folder, or null when it has none that can be read, with the reason in `notes`. */
export function readHubTokenizer(folder: string, notes: string[] = []): TokenizerSource | null {
  const tokenizerPath = fileIn(folder, 'tokenizer.json');
  if (tokenizerPath === null) {
    notes.push(
      fileIn(folder, 'tokenizer.model') !== null
        ? "The folder has tokenizer.model but no tokenizer.json, which is needed to read text: transformers' AutoTokenizer.from_pretrained(folder).save_pretrained(folder) writes it."
        : 'The folder has no tokenizer: without that of an adapter, only token ids can be used.',
    );
    return null;
  }
  withFile(tokenizerPath, (descriptor, size) => refuseStandIn(tokenizerPath, descriptor, size));
  let tokenizerJson: string | null = null;
  return {
    kind: 'hub',
    get tokenizerJson() {
      return (tokenizerJson ??= readText(tokenizerPath, textLimits.tokenizer));
    },
    tokenizerConfig: optionalJson(folder, 'tokenizer_config.json') ?? {},
    specialTokensMap: optionalJson(folder, 'special_tokens_map.json'),
    addedTokens: optionalJson(folder, 'added_tokens.json'),
    generationConfig: optionalJson(folder, 'generation_config.json'),
    config: optionalJson(folder, 'config.json'),
    chatTemplate: readHubTemplate(folder),
  };
}

function optionalJson(folder: string, name: string): Record<string, unknown> | null {
  const path = fileIn(folder, name);
  return path === null ? null : readJsonObject(path, textLimits.config);
}

/** Reads the chat template in a hub folder, even without a tokenizer, or null where there is none. */
export function readHubTemplate(folder: string): string | null {
  const templatePath = fileIn(folder, 'chat_template.jinja');
  if (templatePath !== null) {
    const read = (path: string): string => {
      withFile(path, (descriptor, size) => refuseStandIn(path, descriptor, size));
      return readText(path, textLimits.config);
    };
    const toolPath = fileIn(folder, 'additional_chat_templates/tool_use.jinja');
    return withToolTemplate(read(templatePath), toolPath === null ? null : read(toolPath));
  }
  // The last is where transformers 4 kept the template of a multimodal model.
  return (
    configTemplate(optionalJson(folder, 'tokenizer_config.json')?.['chat_template']) ??
    configTemplate(optionalJson(folder, 'chat_template.json')?.['chat_template'])
  );
}

/**
 * Reads the template of tokenizer_config.json, which has one, or a list of named ones: `default`, and `tool_use` for conversations
 * with tools.
 */
export function configTemplate(value: unknown): string | null {
  if (typeof value === 'string') return value;
  if (!Array.isArray(value)) return null;
  const named = value as { name?: unknown; template?: unknown }[];
  const textOf = (name: string): string | null => textIn(named.find((entry) => entry.name === name)?.template);
  const template = textOf('default') ?? textIn(named[0]?.template);
  return template === null ? null : withToolTemplate(template, textOf('tool_use'));
}

const textIn = (value: unknown): string | null => (typeof value === 'string' ? value : null);

/**
 * Returns one template that renders a conversation with tools by `toolUse` and every other by `template`, as transformers'
 * apply_chat_template chooses between them. An empty expression keeps white space at the border, which a block tag would take away.
 */
function withToolTemplate(template: string, toolUse: string | null): string {
  if (toolUse === null || toolUse === template) return template;
  const border = "{{ '' }}";
  return `{% if tools is defined and tools is not none %}${border}${toolUse}${border}{% else %}${border}${template}${border}{% endif %}`;
}

/** Returns the template in the metadata of a GGUF file, with the one for conversations with tools, or null where there is none. */
export function ggufTemplate(metadata: ReadonlyMap<string, GgufValue>): string | null {
  const textOf = (key: string): string | null => textIn(metadata.get(key)?.value);
  const template = textOf('tokenizer.chat_template');
  return template === null ? null : withToolTemplate(template, textOf('tokenizer.chat_template.tool_use'));
}
