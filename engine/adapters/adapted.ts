/**
 * Opens a model with its adapters, and decides their vocabulary, tokenizer and chat template. The files beside an adapter take
 * precedence, because the adapter was trained with them; files equal to the model's own are not mentioned.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { chatTemplateOf, sameTokenizer, tokensOf, withChatTemplate } from '../data/tokenizer.ts';
import { FileHash, sizeOf } from '../formats/files.ts';
import { resizedModel, withParts, type OpenModel } from '../models/open.ts';
import { readHubTemplate, readHubTokenizer, type TokenizerSource } from '../models/tokenizer-source.ts';
import type { AdapterHashes, AdapterWeight, OneAdapter } from '../contract.ts';
import { Problem } from '../problem.ts';
import type { Adapter } from './adapter.ts';
import type { WeightedAdapter } from './delta.ts';
import { adapterFile, configName } from './find.ts';
import { adapterConfigHash, type AdapterFileFacts, findAdapter, readFound } from './folder.ts';
import { findPeftAdapterAlone, vocabularyOf } from './peft.ts';
import type { AdapterOutline, StoredAdapter } from './stored.ts';

/** Holds an adapter and the vocabulary, tokenizer and chat template it was trained with. */
export interface OpenAdapter<A extends AdapterOutline = Adapter> {
  readonly path: string;
  readonly adapter: A;
  /** Gives the number of rows of embedding and head with which it was trained. */
  readonly vocabularySize: number;
  /** Holds the tokenizer beside the adapter; null stands for the model's own. */
  readonly tokenizerSource: TokenizerSource | null;
  /** Says in sentences what the adapter changes besides weights, such as the vocabulary or the chat template. */
  readonly notes: readonly string[];
}

export interface AdaptedModel<A extends AdapterOutline = Adapter> {
  /**
   * Holds the model with the vocabulary, tokenizer and template of its adapters; the adapters are not merged into its weights.
   */
  readonly model: OpenModel;
  readonly adapters: readonly (Omit<WeightedAdapter, 'adapter'> & { readonly adapter: A })[];
  /** Says in sentences how the model was opened, and what its adapters change. */
  readonly notes: readonly string[];
}

/** Opens a model with the adapters at these paths. Anything that does not fit, or is not as it was recorded, is a `Problem`. */
export function openAdapted(model: OpenModel, given: readonly (AdapterWeight & Recorded)[]): AdaptedModel {
  return adapted(
    model,
    given.map((at) => ({ opened: openHashedAdapter(model, at.path, at).opened, weight: at.weight })),
  );
}

/** Opens an adapter of a model. `hash` takes the file with its numbers as it is read. */
export function openAdapter(model: OpenModel, path: string, hash: FileHash | null = null): OpenAdapter {
  const found = openOutline(model, path);
  return { ...found, adapter: readFound(path, found.adapter, hash) };
}

/**
 * Opens an adapter and hashes its files; the one with its numbers is hashed while it is read. Where `recorded` names another
 * hash, a file was changed since, and is refused.
 */
export function openHashedAdapter(
  model: OpenModel,
  path: string,
  recorded: Recorded = {},
): { readonly opened: OpenAdapter; readonly file: AdapterFileFacts } {
  const { read, file } = hashed(path, recorded, (hash) => openAdapter(model, path, hash));
  return { opened: read, file };
}

/** Opens and hashes an adapter of PEFT whose base is not at hand, so that nothing says whether the two fit. */
export function openHashedAlone(
  path: string,
  recorded: Recorded = {},
): { readonly adapter: Adapter; readonly file: AdapterFileFacts } {
  const { read, file } = hashed(path, recorded, (hash) => readFound(path, findPeftAdapterAlone(path), hash));
  return { adapter: read, file };
}

function hashed<T>(
  path: string,
  recorded: Recorded,
  readWith: (hash: FileHash) => T,
): { readonly read: T; readonly file: AdapterFileFacts } {
  const { weights } = adapterFile(path);
  const configHash = adapterConfigHash(path);
  // Before the numbers are read as the config says: another config may not even fit them.
  requireRecorded(path, { configHash }, recorded);
  const reading = new FileHash(weights);
  const read = readWith(reading);
  const hash = reading.finish();
  requireRecorded(path, { hash }, recorded);
  return { read, file: { bytes: sizeOf(weights), hash, configHash } };
}

type Recorded = { readonly [K in keyof AdapterHashes]?: AdapterHashes[K] | undefined };

export const recordedOf = ({ adapterHash, adapterConfigHash }: Omit<OneAdapter, 'adapterPath'>): Recorded => ({
  hash: adapterHash,
  configHash: adapterConfigHash,
});

/** Refuses an adapter one of whose files is another than was recorded. What is not known or not recorded is not compared. */
export function requireRecorded(path: string, now: Recorded, recorded: Recorded): void {
  const files = [
    [adapterFile(path).weights, now.hash, recorded.hash],
    [join(path, configName), now.configHash, recorded.configHash],
  ] as const;
  for (const [file, hash, known] of files)
    if (hash !== undefined && known != null && hash !== known)
      throw new Problem(
        'adapter-changed',
        `'${file}' has changed since this version of the adapter was recorded: its SHA-256 is ${hash}, and was ${known}.`,
        'Put the file back as it was. To take it as it is now, import the adapter again, or name a copy of its folder.',
      );
}

/**
 * Opens an adapter as `openOutline` does. Where `recorded` names hashes, the files are hashed, and refused when they were
 * changed since.
 */
export function openRecordedOutline(model: OpenModel, path: string, recorded: Recorded): OpenAdapter<StoredAdapter> {
  // As in openHashedAdapter: another config may not even fit the numbers.
  if (recorded.configHash != null) requireRecorded(path, { configHash: adapterConfigHash(path) }, recorded);
  if (recorded.hash !== undefined) requireRecorded(path, { hash: new FileHash(adapterFile(path).weights).finish() }, recorded);
  return openOutline(model, path);
}

/** Opens an adapter as far as its config and the header of its file tell; its numbers are not read. */
export function openOutline(model: OpenModel, path: string): OpenAdapter<StoredAdapter> {
  const { form } = adapterFile(path);
  const { vocabularySize: own } = model.spec;
  const vocabularySize = (form === 'peft' ? vocabularyOf(path, model.spec) : null) ?? own;
  const adapter = findAdapter(path, resizedModel(model, vocabularySize));
  const { tokenizerSource, notes } =
    form === 'gguf' ? { tokenizerSource: null, notes: [] } : tokenizerBeside(path, model, vocabularySize);
  const resized =
    vocabularySize === own
      ? []
      : [`The adapter '${path}' was trained with a vocabulary of ${vocabularySize} tokens instead of the model's ${own}.`];
  return { path, adapter, vocabularySize, tokenizerSource, notes: [...resized, ...notes] };
}

/**
 * Combines opened adapters with their model. Adapters that need different vocabularies, tokenizers or templates are refused.
 */
export function adapted<A extends AdapterOutline>(
  model: OpenModel,
  given: readonly { readonly opened: OpenAdapter<A>; readonly weight: number }[],
): AdaptedModel<A> {
  const all = given.map(({ opened }) => opened);
  const { vocabularySize: own, modules } = model.spec;
  const sized = all.find(({ vocabularySize }) => vocabularySize !== own);
  const vocabularySize = sized?.vocabularySize ?? own;
  const outer = [modules.token_embd, modules.output];
  const isOuter = (name: string): boolean => outer.some((path) => name === path || name.startsWith(`${path}.`));
  const other = all.find(
    (opened) =>
      opened.vocabularySize !== vocabularySize &&
      (opened.vocabularySize !== own ||
        opened.adapter.shape.modules.some(({ path }) => isOuter(path)) ||
        opened.adapter.shape.replaced.some(({ names }) => names.some(isOuter))),
  );
  if (sized !== undefined && other !== undefined)
    throw unlike(sized, other, `have vocabularies of ${vocabularySize} and ${other.vocabularySize} tokens`);
  const spoken = all.filter(({ tokenizerSource }) => tokenizerSource !== null);
  const [speaker] = spoken;
  const contrary = spoken.find(({ tokenizerSource }) => !sameSource(tokenizerSource!, speaker!.tokenizerSource!));
  if (contrary !== undefined) throw unlike(speaker!, contrary, 'have different tokenizers or chat templates beside them');
  const resized = resizedModel(model, vocabularySize);
  return {
    model:
      speaker === undefined
        ? resized
        : withParts(resized, { tokenizerSource: speaker.tokenizerSource, tokenizerFolder: speaker.path }),
    adapters: given.map(({ opened, weight }) => ({ adapter: opened.adapter, weight })),
    notes: [...model.info.notes, ...all.flatMap(({ notes }) => notes)],
  };
}

type Opened = OpenAdapter<AdapterOutline>;

function unlike(one: Opened, other: Opened, how: string): Problem {
  return new Problem(
    'adapter-mismatch',
    `The adapters '${one.path}' and '${other.path}' ${how}.`,
    'Use them one at a time, or adapters that were trained alike.',
  );
}

function sameSource(one: TokenizerSource, other: TokenizerSource): boolean {
  if (chatTemplateOf(one) !== chatTemplateOf(other)) return false;
  return one.kind === 'hub' ? other.kind === 'hub' && sameTokenizer(one, other) : other.kind === 'gguf';
}

type Beside = Pick<OpenAdapter, 'tokenizerSource' | 'notes'>;

/** Reads the tokenizer and the chat template in an adapter's folder, where they differ from the model's. */
function tokenizerBeside(folder: string, model: OpenModel, vocabularySize: number): Beside {
  const own = model.tokenizerSource;
  const ownTemplate = own && chatTemplateOf(own);
  const template = readHubTemplate(folder) ?? ownTemplate;
  const said = (what: string, source: TokenizerSource): Beside => ({
    tokenizerSource: source,
    notes: [`${what} come${what.includes(' and ') ? '' : 's'} from the adapter's folder, '${folder}'.`],
  });
  const found = readHubTokenizer(folder);
  // An adapter's folder has no config of a model, which says of what class its tokenizer is.
  const beside =
    found?.kind === 'hub' ? { ...found, config: found.config ?? (own?.kind === 'hub' ? own.config : null) ?? null } : null;
  if (beside !== null && (own === null || !sameTokenizer(own, beside))) {
    const tokens = tokensOf(beside);
    if (tokens > vocabularySize)
      throw new Problem(
        'adapter-mismatch',
        `The tokenizer in '${folder}' has ${tokens} tokens, and the embedding only ${vocabularySize} rows: tokens were added, and the adapter was saved without their embeddings.`,
        'Save the adapter again with them (in PEFT, save_embedding_layers=True).',
      );
    const generationConfig = beside.generationConfig ?? (own?.kind === 'hub' ? own.generationConfig : null) ?? {};
    const source = { ...beside, generationConfig, chatTemplate: template };
    return said(template === ownTemplate ? 'The tokenizer' : 'Tokenizer and chat template', source);
  }
  if (own !== null && template !== null && template !== ownTemplate)
    return said('The chat template', withChatTemplate(own, template));
  const unread = ['tokenizer.model', 'vocab.json', 'vocab.txt'].find((name) => existsSync(join(folder, name)));
  if (beside !== null || unread === undefined) return { tokenizerSource: null, notes: [] };
  return {
    tokenizerSource: null,
    notes: [
      `Beside the adapter lies ${unread} but no tokenizer.json, so its tokenizer cannot be read: the model's own is used.`,
    ],
  };
}
