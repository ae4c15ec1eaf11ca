/** Reads a model in a hub folder: config.json, safetensors, tokenizer, model card. */
import { statSync } from 'node:fs';
import { basename, dirname } from 'node:path';
import { fileIn, pathIn, readJsonObject, readText } from '../formats/files.ts';
import { readSafetensors } from '../formats/safetensors.ts';
import { Problem } from '../problem.ts';
import { hubLayout, hubNames, hubParts, isOfOtherPart, specFromConfig } from './families/index.ts';
import { adapterNotes, weightFiles, type LocatedModel } from './hub-folder.ts';
import { refusePacked } from './packed.ts';
import { modelTensors, type DecoderSpec } from './spec.ts';
import { selectTensors, type StoredModel } from './stored-model.ts';
import { readHubTokenizer } from './tokenizer-source.ts';
import { fromSafetensors, joined, sameNumbers, type StoredTensor } from './weights.ts';

/** These limits in bytes exceed any real file of these kinds. */
const textLimits = { config: 16 << 20, card: 1 << 20 };

export function readHubModel({ path: folder, notes: found }: LocatedModel, acceptFields: readonly string[]): StoredModel {
  const configPath = pathIn(folder, 'config.json');
  const config = readJsonObject(configPath, textLimits.config);
  const notes = [...found, ...adapterNotes(folder)];
  const described = specFromConfig(config, configPath, { acceptFields, notes });
  if (isObject(config['auto_map']))
    notes.push(
      `config.json names code of the model's own (auto_map), which is never run: it is computed as transformers' '${described.family}'.`,
    );
  const files = weightFiles(folder);
  const stored = readTensors(files);
  refusePacked(configPath, config, [...stored.values()], { acceptFields, notes });
  joinParts(described, stored);
  const spec = settleHead(described, stored, notes);
  const tensors = selectTensors(folder, spec, stored, ({ name }) => hubNames(name, spec), hubLayout);
  const tokenizerSource = readHubTokenizer(folder, notes);
  const nameOrPath = config['_name_or_path'];
  return {
    path: folder,
    format: 'hub',
    spec,
    tensors,
    otherParts: [...stored.values()].filter(({ name }) => isOfOtherPart(name, spec)),
    files,
    tokenizerSource,
    acceptFields,
    notes,
    name: typeof nameOrPath === 'string' && nameOrPath !== '' ? basename(nameOrPath) : folderName(folder),
    hasChatTemplate: tokenizerSource?.kind === 'hub' && tokenizerSource.chatTemplate !== null,
    licence: cardLicence(folder),
  };
}

function isObject(value: unknown): boolean {
  return typeof value === 'object' && value !== null;
}

/** Reads the tensors of all files. A name in two files is accepted only where both hold the same numbers. */
function readTensors(files: readonly string[]): Map<string, StoredTensor> {
  const stored = new Map<string, StoredTensor>();
  for (const path of files)
    for (const tensor of readSafetensors(path).tensors.values()) {
      const other = stored.get(tensor.name);
      const found = fromSafetensors(path, tensor);
      if (other === undefined) stored.set(tensor.name, found);
      else if (!sameNumbers(other, found))
        throw new Problem(
          'file-damaged',
          `'${path}' has the tensor '${tensor.name}', which '${other.path}' has too, with other numbers.`,
          'Remove files that belong to another model, or download it again.',
        );
    }
  return stored;
}

/**
 * Names a model after its folder, or after the folder above where the name of its own says nothing, such as `models--org--name`
 * in the cache of a hub.
 */
function folderName(folder: string): string {
  const name = basename(folder);
  if (/^[0-9a-f]{40}$/.test(name) && basename(dirname(folder)) === 'snapshots')
    return basename(dirname(dirname(folder)))
      .split('--')
      .at(-1)!;
  return /^(model|merged|snapshot|weights)$/i.test(name) ? basename(dirname(folder)) || name : name;
}

/** Joins stored tensors that are parts of one tensor of the model. */
function joinParts(spec: DecoderSpec, stored: Map<string, StoredTensor>): void {
  for (const wanted of modelTensors(spec)) {
    const names = (hubParts(wanted, spec) ?? []).flatMap(
      (part) => hubNames(part, spec).find((name) => stored.has(name)) ?? part,
    );
    const parts = names.flatMap((name) => stored.get(name) ?? []);
    const shape = wanted.shape.slice(1);
    const fits = (part: StoredTensor): boolean =>
      part.shape.length === shape.length && part.shape.every((extent, i) => extent === shape[i]);
    // A part that is missing or of another shape is left for the check of all tensors to refuse.
    if (names.length === 0 || parts.length < names.length || !parts.every(fits)) continue;
    for (const name of names) stored.delete(name);
    stored.set(wanted.name, joined(parts, wanted.name, wanted.shape));
  }
}

/**
 * Decides whether the head is tied to the embedding, as transformers does: a head that the config ties is tied only where the
 * files hold no different one, and where they hold the head alone, it is also the embedding. Of two equal tensors one is
 * removed.
 */
function settleHead(spec: DecoderSpec, stored: Map<string, StoredTensor>, notes: string[]): DecoderSpec {
  if (!spec.tiedEmbeddings) return spec;
  const parted: DecoderSpec = { ...spec, tiedEmbeddings: false };
  const [[embedding], heads] = (['token_embd', 'output'] as const).map((role) => {
    const tensor = modelTensors(parted).find((wanted) => wanted.role === role && wanted.kind === 'weight')!;
    return hubNames(tensor.name, parted).flatMap((name) => stored.get(name) ?? []);
  }) as [StoredTensor[], StoredTensor[]];
  const [head] = heads;
  if (head === undefined) return spec;
  const other = heads.find((one) => !sameNumbers(embedding ?? head, one));
  if (other !== undefined) {
    notes.push(
      `The config ties the head to the embedding, but '${other.name}' holds other numbers: they count, as in transformers 5.`,
    );
    return parted;
  }
  for (const { name } of heads) stored.delete(name);
  if (embedding === undefined) stored.set(`${spec.modules.token_embd}.weight`, head);
  return spec;
}

/** Reads `license:` in the front matter of the model card. */
function cardLicence(folder: string): string | null {
  const path = fileIn(folder, 'README.md');
  if (path === null || statSync(path).size > textLimits.card) return null;
  const frontMatter = /^---\r?\n([\s\S]*?)\r?\n---/.exec(readText(path, textLimits.card))?.[1] ?? '';
  return /^license:\s*["']?([^"'\r\n]+)/m.exec(frontMatter)?.[1]?.trim() ?? null;
}
