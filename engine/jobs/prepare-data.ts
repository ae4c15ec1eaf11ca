/** Turns the rows of a job into the examples that a run trains on. */
import { changedProblem, type RowFiles } from '../data/row-files.ts';
import type { Tokenizer } from '../data/tokenizer.ts';
import type { OpenModel } from '../models/open.ts';
import { positionLimit } from '../models/positions.ts';
import { Problem } from '../problem.ts';
import { rowSettings, type Recipe } from '../recipe.ts';
import { prepareExamples, type PreparedExamples } from '../training/examples.ts';
import { tokensHash } from './run-identity.ts';
import { loadRows, type LoadedRows, type LoadRowsOptions } from './load-rows.ts';
import type { JobPort } from './port.ts';
import { onRows } from './progress.ts';
import type { DataRecord } from './run-folder.ts';
import type { RunWriter } from './run-writer.ts';

export interface PreparedData {
  readonly files: RowFiles;
  readonly loaded: LoadedRows;
  readonly prepared: PreparedExamples;
}

/**
 * Reads rows, truncates them to what the recipe and the model allow, and logs what is left out. Refuses files that have changed
 * since their version was made or, if they are named by their paths, since the run recorded them in `before`.
 */
export async function prepareData(
  files: RowFiles,
  model: OpenModel,
  tokenizer: Tokenizer | null,
  recipe: Recipe,
  reading: LoadRowsOptions,
  { folder, port, before }: { readonly folder: RunWriter; readonly port: JobPort; readonly before: DataRecord | null },
): Promise<PreparedData> {
  const { paths } = files;
  const hashes = { ...(before === null ? {} : hashesOf(before)), ...files.hashes };
  const positions = positionLimit(model.spec);
  const length = Math.min(recipe.maxLength, positions);
  const splits = recipe.longDocuments === 'split';
  // One more token is kept than is trained, so that truncated rows are recognized.
  const settings = { ...reading, ...rowSettings(recipe), maxTokens: length + 1 };
  const loaded = await loadRows({ ...files, hashes }, model, tokenizer, settings, port);
  if (loaded.changed.length > 0)
    throw changedProblem(loaded.changed, files.hashes ? 'the version of the data set was made' : 'the run was started');
  if (loaded.notKept !== null) folder.log(`${paths.join(', ')}: the tokens were not cached: ${loaded.notKept}.`);
  const prepared = await prepareExamples(
    loaded.rows,
    { maxLength: length, documentOverlap: splits ? recipe.documentOverlap : null },
    onRows(port),
    recipe,
  );
  const limit = positions < recipe.maxLength ? `the model's ${positions} positions` : `${length} tokens`;
  const { read, skipped } = loaded;
  const used = read - skipped;
  const examples = loaded.rows.length;
  const noun = examples === used ? 'rows' : 'examples';
  const say = (count: number, of: string, what: string) => {
    if (count > 0) folder.log(`${paths.join(', ')}: ${count} of ${of} ${what}.`);
  };
  say(skipped, `${read} rows`, 'cannot be used and are skipped');
  const unrolled = loaded.findings.found.get('unrolled');
  if (examples > used) {
    const together =
      recipe.turnWeight === 'turn' ? 'each turn counts as a row' : 'all turns of a conversation together count as one row';
    folder.log(
      `${paths.join(', ')}: ${used} rows give ${examples} examples. The chat template renders earlier turns differently, so each turn is trained separately, and ${together}.`,
    );
  } else if (unrolled !== undefined) folder.log(`${paths.join(', ')}: ${unrolled.title}. ${unrolled.detail}`);
  say(prepared.divided, `${examples} ${noun}`, `are documents longer than ${limit} and are trained in parts`);
  say(prepared.truncated, `${examples} ${noun}`, `are longer than ${limit} and are truncated at the end`);
  say(prepared.withoutTarget, `${examples} ${noun}`, 'have nothing to train on within that length and are skipped');
  if (prepared.examples.length === 0)
    throw new Problem(
      'nothing-to-train',
      `No row of ${paths.join(', ')} has a trained token within the first ${length} tokens.`,
      positions < recipe.maxLength ? 'The model has no more positions. Shorten the rows.' : 'Raise maxLength.',
    );
  return { files, loaded, prepared };
}

/**
 * Returns the hash of each file that a run was started with, by its path. A run of an earlier version has one only if it has a
 * single file.
 */
function hashesOf({ paths, hash, hashes = paths.length === 1 ? [hash] : [] }: DataRecord): Readonly<Record<string, string>> {
  return Object.fromEntries(hashes.map((one, i) => [paths[i]!, one]));
}

/** Describes data for run.json. */
export async function dataRecord({ files, loaded, prepared }: PreparedData, port: JobPort): Promise<DataRecord> {
  const { paths, mapping, version, changes, mix } = files;
  const { format, hash, hashes, skipped } = loaded;
  const { examples, truncated, withoutTarget } = prepared;
  const rows = new Set(examples.map(({ index }) => index)).size;
  return {
    ...{
      paths,
      ...(version && { version }),
      hash,
      hashes,
      ...(mapping && { mapping }),
      ...(mix && { mix: mix.of }),
      ...(changes && { changes }),
    },
    ...{ tokensHash: await tokensHash(examples, onRows(port)), format },
    ...{ rows, examples: examples.length, skipped, truncated, withoutTarget },
  };
}
