/** Runs the job `export`, which writes a format beside its final place, proves it, and only then gives it its name. */
import { existsSync, readdirSync, realpathSync, statSync } from 'node:fs';
import { basename, join, resolve, sep } from 'node:path';
import type { ExportedFile, JobSpec, ProblemValue, Proof, RowsAt } from '../contract.ts';
import { today } from '../data/day.ts';
import { changedSentence, type RowFiles, rowFiles } from '../data/row-files.ts';
import type { TokenRow } from '../data/row.ts';
import { tokenizerOf } from '../data/tokenizer.ts';
import { modelCard } from '../export/card.ts';
import { findTarget, resultPath, type ExportTarget } from '../export/index.ts';
import { importanceBounds, measureImportance, type Importance } from '../export/importance.ts';
import { hashFiles } from '../export/lineage.ts';
import { manifestName, writeManifest, type Manifest } from '../export/manifest.ts';
import { builtInRows, hasEnoughPositions, proofBounds, proofRows, proveExport, ProofFailed } from '../export/proof.ts';
import { publish } from '../export/publish.ts';
import { exportSource } from '../export/source.ts';
import { writeFileAtomic } from '../formats/files.ts';
import { openModel, type OpenModel } from '../models/open.ts';
import { Problem } from '../problem.ts';
import { cpuThreads } from '../runtime/devices.ts';
import { openSession } from '../runtime/session.ts';
import { noAdapterShape } from '../adapters/adapter.ts';
import { adapted, openHashedAdapter } from '../adapters/adapted.ts';
import { firstRows } from './load-rows.ts';
import { originOf, type Origin } from './origin.ts';
import type { JobPort } from './port.ts';
import { progressReporter } from './progress.ts';
import { dayOfRun, runOfAdapter } from './run-folder.ts';

/** Gives the number of rows of the run's data that join the built-in ones in the proof. */
const ownConversations = 20;

export interface ExportResult {
  readonly path: string;
  readonly bytes: number;
  readonly files: readonly ExportedFile[];
  /** Holds the proof, or null when none was requested. */
  readonly proof: Proof | null;
  /** Says why the file was not kept, which is that its proof failed, or is null when it was kept. */
  readonly refused: ProblemValue | null;
  readonly notes: readonly string[];
}

export async function runExport(spec: Extract<JobSpec, { kind: 'export' }>, port: JobPort): Promise<ExportResult> {
  const { origin: known = null } = spec;
  const base = openModel(spec.model.path, spec.model.acceptFields);
  const read = spec.adapters.map((at) => ({ ...openHashedAdapter(base, at.path, at), at, weight: at.weight }));
  const { model, adapters, notes: said } = adapted(base, read);
  const run = spec.adapters[0] === undefined ? null : runOfAdapter(spec.adapters[0]);
  const target = findTarget(spec.format, spec.quantization);
  const notes: string[] = [
    ...said,
    ...(adapters.length > 0 && !target.adapterOnly ? notesOnBase(model) : []),
    ...notesOnParts(model, target),
  ];
  const tokenizer = tokenizerOf(model);
  const day = (run && dayOfRun(run.record)) ?? today();
  const out = resolve(spec.out);
  const path = resultPath(out, existsSync(out) && statSync(out).isDirectory(), model, target);
  // Rows are read before anything is written, so that a bad row costs nothing.
  const [proved, measured] = [filesOf(spec.rows), filesOf(spec.importance)];
  const rows = spec.proof ? await rowsOf(proved) : [];
  const importance = measured === null ? {} : { importance: await importanceOf(measured) };
  const hashed = read.map(({ at, file }) => ({ ...at, hash: file.hash }));
  const origin = known && originOf(model, hashed, run, known);
  const source = exportSource(model, adapters, tokenizer, {
    ...importance,
    day,
    lineage: origin?.lineage ?? null,
    conversations: rows.flatMap(({ messages }) => (messages === null ? [] : [messages])).slice(0, ownConversations),
  });
  const exported = target.adapterOnly ? model : source.model;
  const shape = adapters[0]?.adapter.shape ?? noAdapterShape;
  const refusal = target.refusal?.(exported.spec, shape) ?? null;
  if (refusal !== null) throw refusal;
  const bytes = target.bytes(exported, shape);
  // The proof expands what is not float32 once more.
  const proofBytes = spec.proof && !target.adapterOnly && target.quantization !== 'f32' ? model.info.parameters * 4 : 0;
  let proof: Proof | null = null;
  let files: readonly ExportedFile[] = [];
  try {
    const place = { path, folder: target.folder, replace: spec.replace ?? false };
    if (place.replace) requireNoSource(path, [...model.files, ...spec.adapters.map((adapter) => adapter.path)]);
    await publish(place, bytes + proofBytes, async (partial, workDir) => {
      await target.write(partial, source, progressReporter(port, 'Writing', 'tensors'));
      if (spec.proof)
        proof = await proveExport({
          ...{ source, target, rows, workDir, openSession },
          path: partial,
          threads: cpuThreads(),
          cacheDir: spec.cacheDir,
          onTensor: progressReporter(port, 'Reading back', 'tensors'),
          onRow: progressReporter(port, 'Proving', 'rows'),
        });
      // What cannot be opened again must not get its name.
      else if (target.format === 'safetensors' || target.format === 'gguf') openModel(partial, spec.model.acceptFields);
      if (origin !== null && target.folder) writePapers(partial, origin);
      files = (await hashFiles(partial)).filter(({ name }) => name !== manifestName);
      if (origin !== null && target.folder) writeManifest(partial, { ...manifestOf(origin), files });
    });
  } catch (error) {
    if (error instanceof ProofFailed) return { path, bytes: 0, files: [], proof: error.proof, refused: error.toValue(), notes };
    throw error;
  }
  return { path, bytes: sizeOf(path), files, proof, refused: null, notes };

  function writePapers(folder: string, { lineage, training }: Origin): void {
    const { format, quantization, title, runsIn } = target;
    const named = adapters[0]?.adapter.config.base ?? '';
    // `owner/name`, as a hub has it; a path here means nothing to anyone else.
    const hubBase = /^[\w.-]+\/[\w.-]+$/.test(named) && !existsSync(named) ? named : null;
    const facts = { format, quantization, title, runsIn, lineage, training, proof, hubBase, name: basename(path) };
    writeFileAtomic(join(folder, 'README.md'), modelCard(facts));
  }

  function manifestOf({ lineage }: Origin): Omit<Manifest, 'files'> {
    return { version: 1, format: target.format, quantization: target.quantization, lineage, proof };
  }

  async function rowsOf(files: RowFiles | null): Promise<ReturnType<typeof proofRows>> {
    if (files === null) return builtInRows(tokenizer, model.spec, day);
    const isOfUse = (row: TokenRow) => proofRows([row], model.spec).length > 0;
    const usable = proofRows(await tokenRows(files, proofBounds.rows, isOfUse), model.spec);
    return hasEnoughPositions(usable) ? usable : [...usable, ...(await builtInRows(tokenizer, model.spec, day))];
  }

  async function importanceOf(files: RowFiles): Promise<Importance> {
    const usable = (await tokenRows(files, importanceBounds.rows)).map(({ inputIds }) => inputIds);
    if (usable.length === 0)
      throw new Problem(
        'data-empty',
        `No row of '${files.paths.join("', '")}' can be used to measure the importance of the columns.`,
        'Use the data that the adapter was trained on, or export without importance.',
      );
    const onRow = progressReporter(port, 'Measuring', 'rows');
    return measureImportance({
      ...{ model, adapters, rows: usable, openSession, onRow },
      ...{ threads: cpuThreads(), cacheDir: spec.cacheDir },
    });
  }

  async function tokenRows(files: RowFiles, count: number, isOfUse?: (row: TokenRow) => boolean): Promise<TokenRow[]> {
    const wanted = { ...spec.rowSettings, day, count, ...(isOfUse && { isOfUse }) };
    const { rows, changed } = await firstRows(files, model, tokenizer, wanted, port);
    if (changed.length > 0) notes.push(changedSentence(changed));
    return rows;
  }
}

/** Returns the files of rows, or null when there are none, as for the evaluation of a run without evaluation rows. */
function filesOf(rows: RowsAt | undefined): RowFiles | null {
  const files = rows === undefined ? null : rowFiles(rows);
  return files === null || files.paths.length === 0 ? null : files;
}

const fullPrecision: readonly string[] = ['F32', 'F16', 'BF16'];

/** Returns what a person should know of merging with this base, in sentences. */
export function notesOnBase({ path, info: { weightType } }: OpenModel): string[] {
  if (fullPrecision.includes(weightType)) return [];
  const what = `'${path}' is quantized (${weightType}), so the export is made from rounded weights.`;
  return [`${what} If you have the base model in full precision, use it instead: the adapter fits it too.`];
}

/** Returns what becomes of the vision part of a model that has one, in sentences: an adapter belongs to the text part alone. */
export function notesOnParts({ otherParts }: OpenModel, { format, adapterOnly }: ExportTarget): string[] {
  if (otherParts.length === 0 || adapterOnly) return [];
  return format === 'safetensors'
    ? [
        `This is a vision model: the ${otherParts.length} tensors of its vision part are copied unchanged, beside the merged text part.`,
      ]
    : ['This is a vision model: the file holds only its text part, which does not accept images.'];
}

/** Refuses to replace a file that the export is made of. */
function requireNoSource(path: string, sources: readonly string[]): void {
  const real = (of: string): string => (existsSync(of) ? realpathSync(of) : resolve(of));
  const place = real(path);
  const source = sources.find((of) => real(of) === place || real(of).startsWith(place + sep));
  if (source !== undefined)
    throw new Problem(
      'folder-not-empty',
      `'${path}' contains a source of the export: '${source}'.`,
      'Choose another output path.',
    );
}

/**
 * Returns the bytes of a file, or of all files in a folder and its subfolders. A link to a file counts as that file; a link to
 * a folder is not followed.
 */
export function sizeOf(path: string): number {
  const stats = statSync(path);
  if (!stats.isDirectory()) return stats.size;
  return readdirSync(path, { withFileTypes: true }).reduce((sum, entry) => {
    const inside = join(path, entry.name);
    if (!entry.isSymbolicLink()) return sum + sizeOf(inside);
    const target = statSync(inside, { throwIfNoEntry: false });
    return sum + (target?.isFile() === true ? target.size : 0);
  }, 0);
}
