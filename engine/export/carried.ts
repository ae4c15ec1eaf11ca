/**
 * Copies the files of a hub folder that belong to a merged model as well as to its base: tokenizer, templates and terms of use.
 */
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileIn, isFolder, makeFolder, readJsonObject, readText, requireInside, writeFileAtomic } from '../formats/files.ts';
import { Problem } from '../problem.ts';

const tokenizers =
  /^(tokenizer\.json|tokenizer\.model(\.v\d+\w*)?|(spiece|sentencepiece\.bpe)\.model|tekken\.json|tokenizer_config\.json|special_tokens_map\.json|added_tokens\.json|vocab\.(json|txt)|merges\.txt|generation_config\.json)$/;
/** Matches chat templates. transformers writes one file for each and keeps all but the default one in a folder. */
const templates = /(^chat_template\.json|\.jinja)$/;
const namedTemplates = 'additional_chat_templates';
/**
 * Matches terms of use: LICENSE, LICENCE.md, NOTICE, USE_POLICY.md, Gemma_Terms_of_Use.txt, COPYING. The base's README is left
 * out, because it is not about this model.
 */
const terms =
  /licen[cs]e|(^|[\W_])(notices?|copying|copyright|patents|polic(y|ies)|terms|eula|attributions?|(acceptable|prohibited)[\W_]uses?)([\W_]|$)/i;
const termsTypes = /^[^.]*$|\.(md|markdown|txt|rst|pdf|html)$/i;
const termsFolder = 'LICENSES';
/** Matches the configs that say how a model with a vision tower processes pictures. */
const processors = /^(preprocessor_config|video_preprocessor_config|processor_config)\.json$/;

/** Gives the largest size in bytes; no real file of these kinds is as large. */
const fileLimit = 512 << 20;

export interface Carried {
  /** Says whether the model uses the base's tokenizer and templates; an adapter may have brought others. */
  readonly tokenizer: boolean;
  /** Says whether the files of a vision tower are copied too. */
  readonly sees: boolean;
}

/** Copies these files from the folder of a base. Weights and code are not copied. */
export function carryFiles(from: string, to: string, { tokenizer, sees }: Carried): void {
  for (const name of readdirSync(from).sort()) {
    const isTerms = terms.test(name) && (termsTypes.test(name) || /^licen[cs]e/i.test(name)) && !isCode(name);
    const isText = tokenizer && (tokenizers.test(name) || templates.test(name));
    if (isText || isTerms || (sees && processors.test(name))) carry(from, to, name);
  }
  if (tokenizer) carryFolder(namedTemplates, (name) => name.endsWith('.jinja'));
  carryFolder(termsFolder, (name) => termsTypes.test(name));

  function carryFolder(folder: string, belongs: (name: string) => boolean): void {
    if (!isFolder(join(from, folder))) return;
    requireInside(from, join(from, folder));
    for (const name of readdirSync(join(from, folder)).sort()) if (belongs(name)) carry(from, to, join(folder, name));
  }
}

function isCode(name: string): boolean {
  return /\.(py|pyc|pkl|bin|pt|pth|so|sh|js)$/i.test(name);
}

function carry(from: string, to: string, name: string): void {
  if (isFolder(join(from, name))) return;
  const path = fileIn(from, name)!;
  const { size } = statSync(path);
  if (size > fileLimit)
    throw new Problem(
      'file-damaged',
      `'${path}' has ${size} bytes, more than ${fileLimit}.`,
      'This does not look like the right file: remove it, or download it again.',
    );
  makeFolder(dirname(join(to, name)));
  const content = name.endsWith('_config.json') ? withoutCode(path) : readFileSync(path);
  writeFileAtomic(join(to, name), content);
}

/**
 * Declares `JSON.parse` and `JSON.rawJSON` with the types that preserve the spelling of numbers: for transformers 1.0 is not an
 * integer, and some numbers are larger than a double holds exactly.
 */
const { parse, rawJSON } = JSON as unknown as {
  parse(text: string, revive: (key: string, value: unknown, context: { readonly source: string }) => unknown): unknown;
  rawJSON(text: string): unknown;
};

/** Returns the text of a config without the names of code that is not copied; a config that names none is returned as it is. */
function withoutCode(path: string): string {
  const text = readText(path, fileLimit);
  if (!text.includes('"auto_map"')) return text;
  // This refuses a file that is not JSON with a clear message.
  readJsonObject(path, fileLimit);
  const spelled = (_: string, value: unknown, { source }: { readonly source: string }): unknown =>
    typeof value === 'number' ? rawJSON(source) : value;
  const { auto_map: map, ...rest } = parse(text.replace(/^\uFEFF/, ''), spelled) as Record<string, unknown>;
  // The class is in that code; the tokenizer itself is in tokenizer.json, which this one reads.
  const named = rest['tokenizer_class'];
  const isOwn = typeof named === 'string' && (JSON.stringify(map) ?? '').includes(`.${named}"`);
  return `${JSON.stringify(isOwn ? { ...rest, tokenizer_class: 'PreTrainedTokenizerFast' } : rest, null, 2)}\n`;
}
