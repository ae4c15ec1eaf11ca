/**
 * Finds the export, adapter and run that a file or folder comes from: by the hash of the files that hold weights, or else by
 * its own metadata.
 */
import { basename } from 'node:path';
import { adapterFolderOf, configName } from '../adapters/find.ts';
import type {
  AdapterVersion,
  ExportedFile,
  Fingerprint,
  Identification,
  Inspection,
  Lineage,
  MixSettings,
} from '../contract.ts';
import { type HostContext } from './context.ts';
import { partName, versionLyingAt } from './job-inputs.ts';

/** Matches the files that hold weights. Others, such as a tokenizer, are the same in many folders. */
const hasNumbers = (name: string): boolean => /\.(gguf|safetensors|onnx|onnx_data|onnx_adapter)$/i.test(name);

export async function identify(context: HostContext, path: string, client: AbortSignal): Promise<Identification | null> {
  const { store, supervisor } = context;
  const print = await supervisor.run<Fingerprint>({ kind: 'identify', path }, { signal: client });
  const here = versionLyingAt(store, adapterFolderOf(path) ?? path);
  const hashes = print.files.filter(({ name }) => hasNumbers(name)).map(({ sha256 }) => sha256);
  // An export in the adapter's own format is the same file as the adapter, so a file at the path of a version is that version.
  const isVersion = here !== null && print.lineage === null;
  const same = isVersion
    ? null
    : (hashes.map((hash) => store.exports.withFile(hash)).find((record) => record !== null) ?? null);
  const alike = hashes.flatMap((hash) => store.adapters.withHash(hash));
  const sameAdapter =
    alike.find(({ id }) => id === here?.id) ??
    alike.find((version) => changedSince(version, print).length === 0) ??
    alike.at(0) ??
    null;
  const { lineage } = print;
  const record = same ?? (lineage && store.exports.get(lineage.exportId));
  if (record === null && sameAdapter === null && here === null && lineage === null) return null;
  const [part] = lineage?.adapters ?? [];
  const adapter =
    here ??
    (record?.adapterId == null ? null : store.adapters.get(record.adapterId)) ??
    sameAdapter ??
    (part === undefined ? null : (store.adapters.withHash(part.hash).at(0) ?? null));
  const runId = adapter?.runId ?? part?.run?.id ?? null;
  return {
    path,
    by: same !== null || sameAdapter !== null ? 'hash' : here !== null ? 'place' : 'metadata',
    export: record,
    adapter,
    equal: alike.filter(({ id }) => id !== adapter?.id),
    run: runId === null ? null : store.runs.get(runId),
    lineage,
    changed: changedFiles(path, print, record?.files ?? null, here ?? sameAdapter),
  };
}

/** Lists the files of an adapter that are others than its version has recorded. */
function changedSince({ hash, configHash }: AdapterVersion, { files }: Pick<Fingerprint, 'files'>): string[] {
  const numbers = files.filter(({ name }) => hasNumbers(name));
  const others = numbers.some(({ sha256 }) => sha256 === hash) ? [] : numbers;
  const configs = files.filter(({ name, sha256 }) => name === configName && configHash !== null && sha256 !== configHash);
  return [...others, ...configs].map(({ name }) => name);
}

/**
 * Lists the files that are not as they were written. A single file may have been renamed; in a folder every file must have its
 * own name.
 */
function changedFiles(
  path: string,
  { files, written }: Fingerprint,
  recorded: readonly ExportedFile[] | null,
  version: AdapterVersion | null,
): string[] | null {
  const known = recorded !== null && recorded.length > 0 ? recorded : written;
  if (known === null) return version && changedSince(version, { files });
  const [only] = files;
  if (files.length === 1 && only!.name === basename(path))
    return known.some(({ sha256 }) => sha256 === only!.sha256) ? [] : [only!.name];
  const now = new Map(files.map(({ name, sha256 }) => [name, sha256]));
  return known.filter(({ name, sha256 }) => now.get(name) !== sha256).map(({ name }) => name);
}

/** Adds the origin of a file or folder to what `inspect` says of it. */
export function withOrigin(inspection: Inspection, identified: Identification | null): Inspection {
  if (identified === null) return inspection;
  const { run, adapter, equal, lineage, changed, by } = identified;
  const made = lineage?.adapters.map(partName).join(' + ');
  const mix = lineage?.mix;
  const lines = [
    { label: 'Adapter', value: made || adapter?.name },
    // Each adapter of a mix has a run of its own.
    { label: 'Made by run', value: mix === undefined ? (run?.name ?? lineage?.adapters[0]?.run?.name) : undefined },
    { label: 'Mixed by', value: mix && mixText(mix) },
    ...(mix === undefined ? [] : lineage!.adapters.map((part) => ({ label: 'Mixed from', value: parentText(part) }))),
    { label: 'Equal to', value: equal.map(({ name }) => name).join(', ') },
    { label: 'Known by', value: { hash: 'its hash', place: 'its location', metadata: 'its own metadata' }[by] },
    {
      label: 'Since it was written',
      value: changed === null ? 'unknown' : changed.length === 0 ? 'unchanged' : `changed: ${changed.join(', ')}`,
    },
  ];
  return {
    ...inspection,
    summary: [...inspection.summary, ...lines.flatMap(({ label, value }) => (value ? [{ label, value }] : []))],
  };
}

function parentText({ name, weight, run, hash }: Lineage['adapters'][number]): string {
  return `${partName({ name, weight })}${run === null ? '' : `, of run ${run.name}`}, SHA-256 ${hash}`;
}

/** Describes a mix in a few words: `ties, density 0.5, majority sign total`. */
function mixText({ method, rank, density, majoritySign, seed }: MixSettings): string {
  const said = { rank, density, 'majority sign': majoritySign, seed };
  const texts = Object.entries(said).flatMap(([name, value]) => (value === undefined ? [] : `${name} ${value}`));
  return [method, ...texts].join(', ');
}
