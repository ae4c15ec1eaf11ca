/**
 * Lists the formats of files that hold rows, each with its name and the endings of its files. The list is apart from the
 * readers because the window and the shell need it before an engine answers, and neither may load a reader;
 * `engine/data/readers/` has a reader for each of them.
 */
export const dataFiles = {
  parquet: { name: 'Parquet', endings: ['parquet'] },
  json: { name: 'JSON', endings: ['json'] },
  csv: { name: 'CSV', endings: ['csv', 'tsv'] },
  text: { name: 'text', endings: ['txt', 'md', 'markdown'] },
  jsonl: { name: 'JSONL', endings: ['jsonl', 'ndjson'] },
} as const satisfies Record<string, { readonly name: string; readonly endings: readonly string[] }>;

export type DataFileFormat = keyof typeof dataFiles;

/** Lists the endings of files that hold one of those, packed. */
export const packedEndings = ['gz', 'zst', 'zip'] as const;

/** Lists the endings of all formats, without the dot. */
export const dataEndings: readonly string[] = [...Object.values(dataFiles).flatMap(({ endings }) => endings), ...packedEndings];

/** Lists the formats in words: `JSONL, JSON, CSV, Parquet or text`. */
export const dataFileNames = new Intl.ListFormat('en-GB', { type: 'disjunction' }).format(
  [dataFiles.jsonl, dataFiles.json, dataFiles.csv, dataFiles.parquet, dataFiles.text].map(({ name }) => name),
);

/** Matches files of a model whose ending is that of a data file. */
const ofModels =
  /(^|[\\/])([^\\/]*config|[^\\/]*\.safetensors\.index|tokenizer|vocab|added_tokens|special_tokens_map)\.json$|(^|[\\/])(merges|vocab)\.txt$/i;

/** Returns whether a path ends like a file of rows; what it holds is known when it is read. */
export function isDataFile(path: string): boolean {
  const ending = endingOf(path);
  return ending !== undefined && dataEndings.includes(ending) && !ofModels.test(path);
}

/** Returns whether a path ends like a text that is one document. */
export function isDocument(path: string): boolean {
  return isDataFile(path) && (dataFiles.text.endings as readonly string[]).includes(endingOf(path) ?? '');
}

function endingOf(path: string): string | undefined {
  return /\.([^.\\/]+)$/.exec(path)?.[1]?.toLowerCase();
}

/** Returns whether a source of rows is a data set of a hub, `hub:ORG/NAME`, instead of a path. */
export function isHubName(source: string): boolean {
  return /^hub:[\w.-]+\/[\w.-]+$/.test(source);
}
