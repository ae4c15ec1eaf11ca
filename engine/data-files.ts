/**
 * The files that hold rows, by format: what a format is called and how its files end. It stands on the ground floor because the window and
 * the shell need it before an engine answers, and neither may load a reader; `engine/data/readers/` has a reader for each of them.
 */
export const dataFiles = {
  jsonl: { name: 'JSONL', endings: ['jsonl', 'ndjson'] },
  json: { name: 'JSON', endings: ['json'] },
} as const satisfies Record<string, { readonly name: string; readonly endings: readonly string[] }>;

export type DataFileFormat = keyof typeof dataFiles;

/** Endings of all formats, without the dot. */
export const dataEndings: readonly string[] = Object.values(dataFiles).flatMap(({ endings }) => endings);

/** The formats in a sentence: `JSONL or JSON`. */
export const dataFileNames = new Intl.ListFormat('en', { type: 'disjunction' }).format(
  Object.values(dataFiles).map(({ name }) => name),
);

/** Files beside a model that end like data. */
const ofModels = /(^|[\\/])([^\\/]*config|[^\\/]*\.safetensors\.index)\.json$/i;

/** Whether a path ends like a file of rows; what it holds is known when it is read. */
export function isDataFile(path: string): boolean {
  const ending = /\.([^.\\/]+)$/.exec(path)?.[1]?.toLowerCase();
  return ending !== undefined && dataEndings.includes(ending) && !ofModels.test(path);
}
