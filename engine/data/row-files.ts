/** The files of one split of a data set, and which of them are no longer what a version of it says. */
import type { ColumnMapping, DataChange, RowsAt, Split, VersionName } from '../contract.ts';
import { isFolder } from '../formats/files.ts';
import { type DocumentFolder, documentsIn } from './document-folder.ts';
import { Problem } from '../problem.ts';
import { splitOf } from './changes.ts';

/** Files of rows, and what their fields mean where a person has said so. */
export interface RowFiles {
  readonly paths: readonly string[];
  readonly mapping?: ColumnMapping;
  /** Folders that were named in place of their documents. */
  readonly folders?: readonly DocumentFolder[];
  /** SHA-256 that each file should have, by its path. */
  readonly hashes?: Readonly<Record<string, string>>;
  /** The version that the files are of, where they were named by one. */
  readonly version?: VersionName;
  /** What was done to the rows, and the side of a split that is meant; left out: the rows are all that the files have. */
  readonly changes?: readonly DataChange[];
  readonly split?: Split;
}

/**
 * Returns the files of the split that is asked for: those to train on where none is named. The documents of a folder are files, and rows that
 * are held back for evaluation are in the same files as the others.
 */
export function rowFiles({ data: { paths, evalPaths = [], changes = [], ...more }, split = 'train' }: RowsAt): RowFiles {
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

/** Returns the files whose content, by the SHA-256 of each in their order, is not that of the version. */
export function changedFiles({ paths, hashes: wanted = {} }: RowFiles, hashes: readonly string[]): readonly string[] {
  return paths.filter((path, i) => wanted[path] !== undefined && wanted[path] !== hashes[i]);
}

/** What files have changed since. */
export type Since = 'the version of the data set was made' | 'the run was started';

/** Says in a sentence that files are not what they were. */
export function changedSentence(changed: readonly string[], since: Since = 'the version of the data set was made'): string {
  return `${changed.join(', ')} ${changed.length === 1 ? 'has' : 'have'} changed since ${since}.`;
}

/** The refusal to train on files that are not those of the version, or those the run was started with. */
export function changedProblem(changed: readonly string[], since: Since): Problem {
  const hint =
    since === 'the run was started'
      ? 'Put it back as it was, or start a new run in another folder with what is there now.'
      : 'Put it back as it was, or make a new version of the data set from what is there now.';
  return new Problem('data-changed', changedSentence(changed, since), hint);
}
