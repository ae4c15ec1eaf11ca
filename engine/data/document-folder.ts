/** Lists a folder of texts, each of which is a document: the files that are read and those that are left out. */
import { readdirSync, readFileSync } from 'node:fs';
import { extname, join, relative } from 'node:path';
import { isDataFile, isDocument } from '../data-files.ts';
import { sizeOf } from '../formats/files.ts';
import { Problem, shown } from '../problem.ts';

export interface DocumentFolder {
  readonly path: string;
  /** Lists the documents in the folder and its subfolders, ordered by path. */
  readonly files: readonly string[];
  /** Counts what was left out, by kind: `3 hidden`, `2 .png`, `1 empty ('a.txt')`. */
  readonly leftOut: readonly string[];
}

const mostFiles = 100_000;
const deepest = 32;
const mostNamed = 8;
/** A longer text is not read to find out whether it is empty. */
const longestEmpty = 64;

/**
 * Lists the documents of a folder. Leaves out hidden files, texts that are empty, and links, which may lead anywhere. Throws a `Problem` where there
 * are no documents, and where there are files of rows too, because some of those may be meant for evaluation.
 */
export function documentsIn(path: string): DocumentFolder {
  const files: string[] = [];
  const rows: string[] = [];
  const empty: string[] = [];
  const others = new Map<string, number>();
  const leaveOut = (kind: string): void => void others.set(kind, (others.get(kind) ?? 0) + 1);
  const list = (folder: string, depth: number): void => {
    for (const entry of readdirSync(folder, { withFileTypes: true }).toSorted((a, b) => (a.name < b.name ? -1 : 1))) {
      const place = join(folder, entry.name);
      if (entry.name.startsWith('.')) leaveOut('hidden');
      else if (entry.isSymbolicLink()) leaveOut('a link');
      else if (entry.isDirectory()) {
        if (depth < deepest) list(place, depth + 1);
        else leaveOut('a folder too deep');
      } else if (entry.isFile() && isDocument(place)) (isEmpty(place) ? empty : files).push(place);
      else if (entry.isFile() && isDataFile(place) && extname(place).toLowerCase() !== '.json') rows.push(place);
      else leaveOut(extname(place).toLowerCase() || 'without an ending');
      if (files.length > mostFiles)
        throw new Problem(
          'data-invalid',
          `The folder '${path}' has more than ${mostFiles} texts.`,
          'Give a folder in it, or join texts.',
        );
    }
  };
  list(path, 0);
  if (rows.length > 0) {
    throw new Problem(
      'data-invalid',
      `The folder '${path}' has ${rows.length} ${rows.length === 1 ? 'file' : 'files'} of rows: ${named(rows)}.`,
      'Name the files that are meant: some may be for evaluation. A folder by itself is one of texts.',
    );
  }
  if (files.length === 0)
    throw new Problem(
      'file-unreadable',
      `The folder '${path}' has no text (.txt, .md) in it${empty.length > 0 ? ' that is not empty' : ''}.`,
      'Give files of rows, or a folder of texts.',
    );
  const leftOut = [...others].toSorted(([, a], [, b]) => b - a).map(([kind, count]) => `${count} ${kind}`);
  if (empty.length > 0) leftOut.unshift(`${empty.length} empty (${named(empty.map((file) => relative(path, file)))})`);
  return { path, files, leftOut };
}

function named(files: readonly string[]): string {
  const names = files.slice(0, mostNamed).map((file) => `'${shown(file)}'`);
  return `${names.join(', ')}${files.length > mostNamed ? ' and more' : ''}`;
}

function isEmpty(path: string): boolean {
  const size = sizeOf(path);
  return size === 0 || (size <= longestEmpty && readFileSync(path, 'utf8').trim() === '');
}

/** Describes what was taken from a folder, as a sentence without its full stop. */
export function folderSentence({ path, files, leftOut }: DocumentFolder): string {
  const more = leftOut.length === 0 ? 'nothing is left out' : `left out are ${leftOut.slice(0, mostNamed).join(', ')}`;
  return `The folder ${path}: ${files.length} ${files.length === 1 ? 'text' : 'texts'}, ${more}`;
}
