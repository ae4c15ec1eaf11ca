/** Describes in sentences how the files of a data set are read, for a report. */
import { basename } from 'node:path';
import { folderSentence } from './document-folder.ts';
import { howRead } from './readers/index.ts';
import type { RowFiles } from './row-files.ts';

const mostNamed = 5;

/** Returns a sentence without its full stop for each of the first files, and for each folder of texts. */
export async function howFilesAreRead({ paths, folders = [], mix }: RowFiles): Promise<string[]> {
  if (mix !== undefined) return (await Promise.all(mix.parts.map((part) => howFilesAreRead(part)))).flat();
  if (folders.length > 0) return folders.map(folderSentence);
  const named = await Promise.all(
    paths.slice(0, mostNamed).map(async (path) => `'${basename(path)}' is ${await howRead(path)}`),
  );
  return paths.length > mostNamed ? [...named, `${paths.length - mostNamed} more files`] : named;
}
