/** Lists the files of one split of a data set, and those that have changed since a version of it was made. */
import { createHash } from 'node:crypto';
import type { ColumnMapping, DataAt, DataChange, DataFiles, Mix, RowsAt, Split, VersionName } from '../contract.ts';
import { dataFileNames } from '../data-files.ts';
import { isFolder } from '../formats/files.ts';
import { type DocumentFolder, documentsIn } from './document-folder.ts';
import type { Amount } from '../mixing.ts';
import { Problem } from '../problem.ts';
import { splitOf } from './changes.ts';

/** Names files of rows, with their mapping where a person has given one. */
export interface RowFiles {
  readonly paths: readonly string[];
  readonly mapping?: ColumnMapping;
  /** Lists the folders that were named instead of their documents. */
  readonly folders?: readonly DocumentFolder[];
  /** Maps the path of each file to the SHA-256 that it should have. */
  readonly hashes?: Readonly<Record<string, string>>;
  /** Names the version that the files belong to, where they were given as a version. */
  readonly version?: VersionName;
  /** Lists the changes to the rows, and the side of a split to read. Without them the rows are all rows of the files. */
  readonly changes?: readonly DataChange[];
  readonly split?: Split;
  /** Lists the parts that the rows are put together from, which say what is in `paths` and how it is read. It is left out where the data is not a mix. */
  readonly mix?: MixFiles;
}

/** Files of one split of a mix. */
export interface MixFiles {
  readonly of: Mix;
  /** Lists the parts that have rows in this split. */
  readonly parts: readonly PartFiles[];
  /** Lists the parts that are trained on, where some of their rows are held back and this split has those. */
  readonly trained: readonly PartFiles[];
}

/** Files of a part of a mix in one split. */
export interface PartFiles extends RowFiles, Amount {
  /** Gives its index among all parts, from 0. */
  readonly number: number;
  /** Says whether the changes of the mix hold some of its rows back. A part that has evaluation rows of its own keeps those alone. */
  readonly isDivided: boolean;
}

/**
 * Returns the files of the requested split, or of the training split where none is named. The documents of a folder are files,
 * and rows held back for evaluation are in the same files as the others.
 */
export function rowFiles({ data, split = 'train' }: RowsAt): RowFiles {
  const { paths, evalPaths = [], changes = [], fromFolders: _, mix, ...more } = data;
  if (mix !== undefined) return mixFiles({ ...data, mix }, split);
  const isDivided = splitOf(changes) !== null;
  if (isDivided && evalPaths.length > 0)
    throw new Problem(
      'request-invalid',
      `Rows are to be held back for evaluation, and there are files for it already: ${evalPaths.join(', ')}.`,
      'Leave out one of the two.',
    );
  const folders: DocumentFolder[] = [];
  const files = (split === 'train' || isDivided ? paths : evalPaths).flatMap((path) => {
    if (!isFolder(path)) return path;
    const folder = documentsIn(path);
    folders.push(folder);
    return folder.files;
  });
  return {
    ...{ ...more, paths: files },
    ...(folders.length > 0 && { folders }),
    ...(changes.length > 0 && { changes, split }),
  };
}

/** Returns whether data has rows to evaluate on. */
function isEvaluated({ evalPaths = [], changes = [] }: DataFiles): boolean {
  return evalPaths.length > 0 || splitOf(changes) !== null;
}

/** Returns the names of the parts of a mix; nothing where the data is none. */
export function partNames({ mix }: RowFiles): readonly string[] {
  return mix === undefined ? [] : mix.of.parts.map(({ name }) => name);
}

function mixFiles({ mix, changes = [], fromFolders: _, ...more }: DataAt & { readonly mix: Mix }, split: Split): RowFiles {
  const divides = splitOf(changes) !== null;
  const filesOf = (of: Split): PartFiles[] =>
    mix.parts.flatMap(({ data, repeat, most }, number) => {
      const isTrained = repeat > 0 && data.paths.length > 0;
      const isDivided = divides && isTrained && !isEvaluated(data);
      const hasRows = of === 'train' ? isTrained : isDivided || isEvaluated(data);
      // What is evaluated is evaluated once.
      const times = of === 'train' ? { repeat, ...(most === undefined ? {} : { most }) } : { repeat: 1 };
      return hasRows ? [{ ...rowFiles({ data, split: isDivided ? 'train' : of }), ...times, number, isDivided }] : [];
    });
  const own = filesOf(split);
  const trained = split === 'train' ? own : filesOf('train');
  if (divides && !trained.some(({ isDivided }) => isDivided))
    throw new Problem(
      'request-invalid',
      'Rows are to be held back for evaluation, and each part of the mix has rows for it already.',
      'Leave out one of the two.',
    );
  const { mapping: __, ...of } = more;
  return {
    ...{ ...of, paths: own.flatMap(({ paths }) => paths) },
    ...(changes.length > 0 && { changes, split }),
    mix: { of: mix, parts: own, trained: divides && split === 'eval' ? trained : [] },
  };
}

/** Returns the files whose content differs from that of the version. `hashes` holds the SHA-256 of each file, in order. */
export function changedFiles({ paths, hashes: wanted = {} }: RowFiles, hashes: readonly string[]): readonly string[] {
  return paths.filter((path, i) => wanted[path] !== undefined && wanted[path] !== hashes[i]);
}

/** Returns the texts in the folders that are none of these files: they were added after a version was made. */
export function newTexts(folders: readonly string[], files: readonly string[]): readonly string[] {
  const known = new Set(files);
  // The files of a folder that is gone are reported as missing.
  return folders.filter((path) => isFolder(path)).flatMap((path) => documentsIn(path).files.filter((file) => !known.has(file)));
}

/** Says since when files have changed. */
export type Since = 'the version of the data set was made' | 'the run was started';

/** Says in a sentence that files have changed. */
export function changedSentence(changed: readonly string[], since: Since = 'the version of the data set was made'): string {
  return `${changed.join(', ')} ${changed.length === 1 ? 'has' : 'have'} changed since ${since}.`;
}

/** Returns the refusal to train on files that have changed since the version was made or the run was started. */
export function changedProblem(changed: readonly string[], since: Since): Problem {
  const hint =
    since === 'the run was started'
      ? 'Put it back as it was, or start a new run in another folder with what is there now.'
      : 'Put it back as it was, or make a new version of the data set from what is there now.';
  return new Problem('data-changed', changedSentence(changed, since), hint);
}

/** Returns the hash of several files from the SHA-256 of each in hexadecimal. */
export function hashOfHashes(hashes: readonly string[]): string {
  return hashes.length === 1 ? hashes[0]! : createHash('sha256').update(hashes.join('\n')).digest('hex');
}

/** Returns the problem of files without any row. */
export function noRow(paths: readonly string[]): Problem {
  return new Problem('data-empty', `There is no row in ${paths.join(', ')}.`, `Give rows as ${dataFileNames}.`);
}
