/**
 * Runs the job `inspect`, which finds out what a path is (model, adapter or data set), whether it is sound, and where it came
 * from.
 */
import { existsSync, readdirSync, statSync } from 'node:fs';
import { join, resolve } from 'node:path';
import type { Inspection, JobSpec, ModelInfo } from '../contract.ts';
import { isDataFile, dataFileNames } from '../data-files.ts';
import { detectFormat } from '../data/content.ts';
import { formatReason } from '../data/format-reason.ts';
import { howFilesAreRead } from '../data/how-read.ts';
import { readRecords } from '../data/readers/index.ts';
import { type RowFiles, rowFiles } from '../data/row-files.ts';
import { ggufRefusal } from '../export/gguf.ts';
import { readManifest, type Manifest } from '../export/manifest.ts';
import { readGguf } from '../formats/gguf.ts';
import { readSafetensors } from '../formats/safetensors.ts';
import { hashOfFiles } from '../models/hash.ts';
import { currentSnapshot } from '../models/hub-folder.ts';
import { openModel } from '../models/open.ts';
import { linearLayers, type DecoderSpec, type LinearLayer } from '../models/spec.ts';
import { Problem, shown } from '../problem.ts';
import type { AdapterConfig } from '../adapters/config.ts';
import { openAdapter } from '../adapters/adapted.ts';
import { adapterFile, adapterFolderOf, isForAdapter } from '../adapters/find.ts';
import { readAdapterConfig } from '../adapters/peft.ts';
import { sizeOf } from './export.ts';
import type { JobPort } from './port.ts';
import { followFile } from './reading.ts';

type Port = Pick<JobPort, 'send' | 'stopRequested'>;

export async function runInspect(spec: Extract<JobSpec, { kind: 'inspect' }>, port: Port): Promise<Inspection> {
  const given = resolve(spec.path);
  if (!existsSync(given)) throw new Problem('file-missing', `'${given}' does not exist.`, 'Check the path.');
  const folder = statSync(given).isDirectory();
  const path = (folder ? currentSnapshot(given)?.path : null) ?? given;
  if (folder && isForAdapter(path)) return inspectAdapter(path);
  const adapterFolder = folder ? null : adapterFolderOf(path);
  if (adapterFolder !== null) return inspectAdapter(adapterFolder);
  const manifest = folder ? readManifest(path) : null;
  if (manifest !== null && manifest.format !== 'safetensors') return inspectExport(path, manifest);
  if (!folder && isGgufAdapter(path)) return inspectForeign(path);
  if (!folder && isDataFile(path)) return inspectData(path, { paths: [path] }, port);
  const texts = folder ? textsIn(path) : null;
  if (texts !== null) return inspectData(path, texts, port);
  return inspectModel(given, spec.acceptFields, port);
}

function inspectModel(path: string, acceptFields: readonly string[] | undefined, port: Port): Inspection {
  const { info, spec, tokenizerSource, files } = openModel(path, acceptFields);
  // Many gigabytes take minutes to read; the hash is then known.
  hashOfFiles(files, undefined, (done) =>
    port.send({
      type: 'progress',
      progress: { phase: 'Reading the weights', done, total: info.bytes, unit: 'bytes', secondsLeft: null },
    }),
  );
  // Whether it is a tokenizer at all is asked with the first rows; here only that its file can be read.
  if (tokenizerSource?.kind === 'hub') void tokenizerSource.tokenizerJson;
  const summary = [
    ['Name', info.name],
    ['Family', info.family],
    ['Format', info.format === 'gguf' ? 'GGUF' : 'Hub folder, safetensors'],
    ['Parameters', String(info.parameters)],
    ['Layers', String(info.layers)],
    ['Hidden size', String(info.hiddenSize)],
    ['Heads', heads(spec)],
    ['Vocabulary', String(info.vocabularySize)],
    ['Context', String(info.contextLength)],
    ['Weights', `${info.weightType}, ${info.bytes} bytes`],
    ['Tokenizer', info.hasTokenizer ? 'yes' : 'no'],
    ['Chat template', info.hasChatTemplate ? 'yes' : 'no'],
    ...targetSets(spec),
    ['Missing', missing(info, spec).join('; ') || 'nothing'],
    ['Licence', info.licence ?? 'not stated'],
    ['SHA-256', info.hash],
  ] as const;
  return { kind: 'model', path, sound: true, summary: lines(summary), model: { ...info } };
}

/** Describes the heads of attention, once for each size: `4, 2 for keys and values, 16 wide`. */
function heads({ blocks }: DecoderSpec): string {
  const sizes = blocks.flatMap(({ mixer }) =>
    mixer.kind === 'attention' ? `${mixer.heads}, ${mixer.keyValueHeads} for keys and values, ${mixer.headDim} wide` : [],
  );
  return [...new Set(sizes)].join('; ');
}

/**
 * Lists what LoRA can adapt, by the sets that people choose from: their modules, number of matrices, and trained parameters per
 * rank.
 */
function targetSets(spec: DecoderSpec): (readonly [string, string])[] {
  const all = linearLayers(spec);
  const { hiddenSize, vocabularySize, modules, tiedEmbeddings } = spec;
  const outer = [modules.token_embd, modules.output].map((path) => ({
    name: path.slice(path.lastIndexOf('.') + 1),
    inFeatures: vocabularySize,
    outFeatures: hiddenSize,
  }));
  const counted = (label: string, chosen: readonly Pick<LinearLayer, 'name' | 'inFeatures' | 'outFeatures'>[], more = '') => {
    const names = [...new Set(chosen.map(({ name }) => name))].join(', ');
    const perRank = chosen.reduce((sum, { inFeatures, outFeatures }) => sum + inFeatures + outFeatures, 0);
    return [label, `${names}: ${chosen.length} matrices, ${perRank} parameters per rank${more}`] as const;
  };
  return [
    counted(
      'Adapt attention',
      all.filter(({ part }) => part === 'mixer'),
    ),
    counted(
      'Adapt MLP',
      all.filter(({ part }) => part === 'feed-forward'),
    ),
    counted('Adapt all linear', all),
    counted('Adapt all and vocabulary', [...all, ...outer], tiedEmbeddings ? '; head and embedding share their weights' : ''),
  ];
}

/** Lists what a person might want of a model and this one does not have. */
function missing({ format, hasTokenizer, hasChatTemplate }: ModelInfo, spec: DecoderSpec): string[] {
  const noGguf = format === 'hub' ? ggufRefusal(spec) : null;
  return [
    ...(hasTokenizer ? [] : ['a tokenizer: only rows of token ids can be used']),
    ...(hasTokenizer && !hasChatTemplate ? ['a chat template: conversations need one'] : []),
    ...(noGguf === null ? [] : [noGguf.message]),
  ];
}

/** Describes a folder for another program, which has files of that program and ours beside them. */
function inspectExport(path: string, { format, quantization, lineage, files, proof }: Manifest): Inspection {
  const gone = files.filter(({ name }) => !existsSync(join(path, name))).map(({ name }) => name);
  const summary = [
    ['Kind', `export, ${[format, quantization ?? []].flat().join(' ')}`],
    ['Base', lineage.base.name],
    ['Files', files.map(({ name }) => name).join(', ')],
    ...(gone.length === 0 ? [] : [['Missing', gone.join(', ')] as const]),
    ['Proof', proof === null ? 'none was asked for' : proof.passed ? 'passed' : 'missed a limit'],
    ['Bytes', String(sizeOf(path))],
  ] as const;
  return { kind: 'export', path, sound: gone.length === 0, summary: lines(summary) };
}

/**
 * Describes an adapter of another program. It says less of itself than ours; whether it fits a model is found out with the
 * model.
 */
function inspectForeign(path: string): Inspection {
  const { form, weights } = adapterFile(path);
  const tensors = [...(form === 'gguf' ? readGguf(weights) : readSafetensors(weights)).tensors.values()];
  const rank = tensors.find(({ name }) => /lora_b$/.test(name))?.shape.at(form === 'gguf' ? -1 : 0);
  const summary = [
    ['Kind', form === 'gguf' ? 'LoRA adapter (llama.cpp)' : 'LoRA adapter (mlx-lm)'],
    ['Rank', String(rank ?? 'not stated')],
    ['Tensors', String(tensors.length)],
    ['Bytes', String(sizeOf(path))],
  ] as const;
  return { kind: 'adapter', path, sound: true, summary: lines(summary) };
}

function inspectAdapter(path: string): Inspection {
  if (adapterFile(path).form !== 'peft') return inspectForeign(path);
  const config = readAdapterConfig(path);
  const tensors = [...readSafetensors(adapterFile(path).weights).tensors.values()];
  const parameters = tensors.reduce((sum, { shape }) => sum + shape.reduce((product, extent) => product * extent, 1), 0);
  // The base may be a name on a hub; only a local one can be checked against.
  const base = config.base !== null && existsSync(config.base) ? config.base : null;
  const notes = base === null ? [] : openAdapter(openModel(base), path).notes;
  const summary = [
    ['Kind', 'LoRA adapter (PEFT)'],
    ['Base', config.base ?? 'not stated'],
    ['Fits its base', base === null ? 'its base was not found' : 'yes'],
    ['Rank', String(config.rank)],
    ['Alpha', String(config.alpha)],
    ['Variant', variantOf(config)],
    ['Trained matrices', [config.targetModules].flat().join(', ')],
    ['Layers', config.layers === 'all' ? 'all' : config.layers.join(', ')],
    ['Parameters', String(parameters)],
    ['Tensors', String(tensors.length)],
    ['Bytes', String(sizeOf(path))],
    ...notes.map((note) => ['Note', note] as const),
  ] as const;
  return { kind: 'adapter', path, sound: true, summary: lines(summary) };
}

function variantOf({ dora, rslora, rankPattern, modulesToSave, bias }: AdapterConfig): string {
  const parts = [
    dora ? 'DoRA' : 'LoRA',
    ...(rslora ? ['scaled by the root of the rank'] : []),
    ...(Object.keys(rankPattern).length > 0 ? ['ranks by pattern'] : []),
    ...(modulesToSave.length > 0 ? [`${modulesToSave.join(', ')} trained whole`] : []),
    ...(bias === 'none' ? [] : [bias === 'all' ? 'all biases' : 'biases of adapted modules']),
  ];
  return parts.join(', ');
}

function isGgufAdapter(path: string): boolean {
  return /\.gguf$/i.test(path) && readGguf(path).metadata.get('general.type')?.value === 'adapter';
}

/** Returns the documents of a folder of texts, or null for a folder of another kind, such as one with a model in it. */
function textsIn(path: string): RowFiles | null {
  if (readdirSync(path).some((name) => /^config\.json$|\.(gguf|safetensors)$/.test(name))) return null;
  try {
    return rowFiles({ data: { paths: [path] } });
  } catch (error) {
    if (error instanceof Problem && error.code === 'file-unreadable') return null;
    throw error;
  }
}

async function inspectData(path: string, files: RowFiles, port: Port): Promise<Inspection> {
  let rows = 0;
  let format: string | null = null;
  const formats = new Map<string, number>();
  const problems: string[] = [];
  let bad = 0;
  for (const file of files.paths) {
    const follow = followFile('Reading the rows', file, port);
    for await (const record of readRecords(file)) {
      follow(record);
      rows++;
      if ('value' in record) {
        format ??= detectFormat(record.value);
        const { name, why } = formatReason(record.value);
        const known = name === null ? why : `${name}: ${why}`;
        formats.set(known, (formats.get(known) ?? 0) + 1);
      } else if (++bad <= 5) problems.push(record.problem.message);
    }
  }
  if (rows === 0) throw new Problem('data-empty', `There is no row in '${path}'.`, `Give rows as ${dataFileNames}.`);
  const found = [...formats].toSorted(([, a], [, b]) => b - a);
  const knownBy = found.map(([known, count]) => (found.length === 1 ? known : `${known} (${count} rows)`));
  const summary: (readonly [string, string])[] = [
    ['Kind', 'data set'],
    ...(await howFilesAreRead(files)).map((how) => ['Read', how] as const),
    ['Format', format ?? 'unknown'],
    ...knownBy.map((reason) => ['Known by', reason] as const),
    ['Rows', String(rows)],
    ['Rows that cannot be read', String(bad)],
    ...problems.map((problem) => ['Problem', problem] as const),
    ['Bytes', String(files.paths.reduce((sum, file) => sum + statSync(file).size, 0))],
  ];
  return { kind: 'dataset', path, sound: bad === 0 && format !== null, summary: lines(summary) };
}

function lines(entries: readonly (readonly [string, string])[]): { label: string; value: string }[] {
  return entries.map(([label, value]) => ({ label, value: shown(value) }));
}
