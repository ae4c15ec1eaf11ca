/** Runs the job `mix`, which makes one adapter of several, or cuts one to a smaller rank, and writes it as PEFT does. */
import { copyFileSync, existsSync, readdirSync, statSync } from 'node:fs';
import { basename, isAbsolute, join, resolve } from 'node:path';
import { adapted, openHashedAdapter, openHashedAlone } from '../adapters/adapted.ts';
import { adapterFile } from '../adapters/find.ts';
import { describeAdapter, type AdapterFileFacts, writeAdapterFiles } from '../adapters/folder.ts';
import { mixAdapters, type MixedPart } from '../adapters/mix.ts';
import { readAdapterConfig } from '../adapters/peft.ts';
import type { AdapterAt, JobSpec, Lineage, MixedAdapter, MixedMatrix, ModelAt } from '../contract.ts';
import { tokenizerOf, type Tokenizer } from '../data/tokenizer.ts';
import { hashFiles } from '../export/lineage.ts';
import { manifestName, writeManifest } from '../export/manifest.ts';
import { publish } from '../export/publish.ts';
import { openModel, type OpenModel } from '../models/open.ts';
import { longestName, Problem, shown } from '../problem.ts';
import { originOf } from './origin.ts';
import type { JobPort } from './port.ts';
import { progressReporter } from './progress.ts';

type MixSpec = Extract<JobSpec, { kind: 'mix' }>;

/** Holds the adapters that are mixed as they were read, and what goes with the result. */
interface Parts {
  readonly parts: readonly MixedPart[];
  readonly files: readonly AdapterFileFacts[];
  /** Holds the base, or null where it is not on this computer. */
  readonly model: OpenModel | null;
  readonly tokenizer: Tokenizer | null;
  readonly notes: readonly string[];
}

export async function runMix(spec: MixSpec, port: JobPort): Promise<MixedAdapter> {
  const out = resolve(spec.out);
  const { parts, files, model, tokenizer, notes } = readParts(spec);
  const name = baseName(parts, model);
  const onMatrix = progressReporter(port, 'Mixing', 'matrices');
  const mix = await mixAdapters(parts, spec.mix, model && { spec: model.spec, name }, onMatrix);
  const { adapter, matrices, settings } = mix;
  const lineage = { ...lineageOf(spec, model, name, files), mix: settings };
  let file: AdapterFileFacts;
  await publish({ path: out, folder: true, replace: false }, adapter.shape.length * 4, async (partial) => {
    file = writeAdapterFiles(partial, adapter, { baseName: name, tokenizer });
    if (model === null) copyTokenizer(spec.adapters[0]!.path, partial);
    const written = (await hashFiles(partial)).filter((each) => each.name !== manifestName);
    writeManifest(partial, { version: 1, format: 'peft', quantization: null, lineage, proof: null, files: written });
  });
  const worst = matrices.reduce<MixedMatrix | null>((most, each) => (each.lost > (most?.lost ?? 0) ? each : most), null);
  return {
    ...describeAdapter(adapter, file!),
    ...{ path: out, mix: settings, matrices, worst, notes: [...notes, ...mix.notes] },
    base: model && { path: model.path, name: model.info.name },
  };
}

/** Returns the base to write: what all adapters state, where that is on a hub or on this computer, otherwise the model's path. */
function baseName(parts: readonly MixedPart[], model: OpenModel | null): string | null {
  const stated = new Set(parts.map(({ adapter }) => adapter.config.base));
  const [common = null] = stated.size === 1 ? stated : [];
  const isFound = common !== null && (isAbsolute(common) ? existsSync(common) : /^[\w.-]+\/[\w.-]+$/.test(common));
  return model === null || isFound ? common : model.path;
}

function readParts({ model: given, adapters, origin }: MixSpec): Parts {
  const [only, ...more] = adapters;
  const at = given ?? (only === undefined || more.length > 0 ? null : statedBase(only.path));
  const partOf = ({ path, weight }: AdapterAt, i: number) => {
    return { weight, name: origin.adapters[i]?.name ?? shown(basename(path), longestName) };
  };
  if (at !== null) {
    const base = openModel(at.path, at.acceptFields);
    const read = adapters.map((each) => ({ ...openHashedAdapter(base, each.path, each), weight: each.weight }));
    const { model, adapters: opened } = adapted(base, read);
    return {
      parts: opened.map(({ adapter }, i) => ({ adapter, ...partOf(adapters[i]!, i) })),
      files: read.map(({ file }) => file),
      model,
      // As with an adapter of a run: it travels only where it is not the base's.
      tokenizer: model.tokenizerFolder === null ? null : tokenizerOf(model),
      notes: read.flatMap(({ opened }) => opened.notes),
    };
  }
  if (only === undefined || more.length > 0 || adapterFile(only.path).form !== 'peft')
    throw new Problem('file-missing', 'The base model of the adapter is not known.', 'Say which it is (--model).');
  const { adapter, file } = openHashedAlone(only.path, only);
  const base = adapter.config.base === null ? 'Its base is not stated' : `Its base '${adapter.config.base}' is not here`;
  return {
    parts: [{ adapter, ...partOf(only, 0) }],
    files: [file],
    model: null,
    tokenizer: null,
    notes: [`${base}, so nothing was held against it. Name the model to have that done (--model).`],
  };
}

function lineageOf(
  { adapters, origin }: MixSpec,
  model: OpenModel | null,
  name: string | null,
  files: readonly AdapterFileFacts[],
): Lineage {
  const base = model ?? { info: { name: shown(name ?? 'not stated', longestName), licence: null }, hash: '' };
  const hashed = adapters.map((each, i) => ({ ...each, hash: files[i]!.hash }));
  return originOf(base, hashed, null, origin).lineage;
}

/** Matches the files of a tokenizer and its chat template. */
const ofTokenizer = /^(tokenizer|special_tokens_map|added_tokens|vocab|merges|chat_template)\b/;

/** Copies the tokenizer beside an adapter as it is. */
function copyTokenizer(from: string, to: string): void {
  for (const name of readdirSync(from))
    if (ofTokenizer.test(name) && statSync(join(from, name)).isFile()) copyFileSync(join(from, name), join(to, name));
}

/** Returns the base that an adapter's config names where that is a model on this computer, otherwise null. */
function statedBase(path: string): ModelAt | null {
  if (adapterFile(path).form !== 'peft') return null;
  const { base } = readAdapterConfig(path);
  return base !== null && isAbsolute(base) && existsSync(base) ? { path: base } : null;
}
