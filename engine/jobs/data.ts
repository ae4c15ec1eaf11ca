/**
 * Runs the job `data`, which answers everything that is asked about one model while a person types and looks: rows of data sets
 * with its tokenizer and template, what a recipe would adapt and how much memory it would take, and what an adapter can be
 * exported as. It is a process of its own, so the model stays open between requests, and the process can be killed if reading
 * never ends.
 */
import { adapted, openRecordedOutline, recordedOf } from '../adapters/adapted.ts';
import { plannedShape } from '../adapters/initial.ts';
import { planTargets } from '../adapters/target-plan.ts';
import type {
  AdapterPlan,
  DataReport,
  ExportChoice,
  JobRequest,
  JobSpec,
  OneAdapter,
  DataRequests,
  ReadFiles,
  RenderedRows,
  Result,
  RowDetail,
  RowLine,
  RowPack,
  RowsAt,
  SharedPrefix,
  ViewingRows,
} from '../contract.ts';
import { today } from '../data/day.ts';
import { lineOf, rememberingTokenizer, reportOf, viewRow } from '../data/report.ts';
import { openRows } from '../data/open-rows.ts';
import { findRows, recordText } from '../data/find-rows.ts';
import { howFilesAreRead } from '../data/how-read.ts';
import { RowFacts } from '../data/row-facts.ts';
import { newTexts, partNames, type RowFiles, rowFiles } from '../data/row-files.ts';
import type { ReadingPosition, ReadingWatch, RowCache, RowOrProblem, RowReading, Rows, RowsSummary } from '../data/row.ts';
import { switchesThinking } from '../data/template-inputs.ts';
import { openTemplate, printsDay } from '../data/template.ts';
import { WatchedFiles } from '../data/watched-files.ts';
import { prefixTokens } from '../data/statistics.ts';
import { type Tokenizer, tokenizerOf } from '../data/tokenizer.ts';
import { exportChoices } from '../export/index.ts';
import { stampOf } from '../formats/files.ts';
import { openModel, type OpenModel } from '../models/open.ts';
import { positionLimit } from '../models/positions.ts';
import { logError, Problem } from '../problem.ts';
import { defaultRecipe, type Recipe, rowSettings } from '../recipe.ts';
import { MemoryEstimator } from '../training/memory.ts';
import { packOf } from '../training/packing.ts';
import { trialFor, trialKey } from '../training/trial.ts';
import type { JobAsker, JobPort } from './port.ts';
import { followReading, readUnchanged, stoppedReading } from './reading.ts';
import { tokenCache } from './token-cache.ts';

/** Gives the number of data sets whose facts are kept: two splits of the current one and of the one before. */
const keptSets = 4;
/**
 * Gives the number of rows that are rendered at a time. An answer is sent once it has `tokensRendered` tokens or `mostRendered`
 * rows.
 */
const rowsRendered = 64;
const tokensRendered = 100_000;
const mostRendered = 1024;

export async function runData(spec: Extract<JobSpec, { kind: 'data' }>, port: JobPort): Promise<null> {
  let held: { readonly paths: readonly string[]; readonly stamp: string; readonly model: ModelData } | null = null;
  port.onRequest(async (request, asker) => {
    // Replaced files count as another model.
    if (held === null || stampOf(held.paths) !== held.stamp) {
      const model = openModel(spec.model.path, spec.model.acceptFields);
      const paths = [spec.model.path, model.path, ...model.files];
      held = { paths, stamp: stampOf(paths), model: new ModelData(model, spec.cacheDir) };
    }
    return held.model.answer(request, asker);
  });
  await port.untilStopped();
  return null;
}

class ModelData {
  readonly #model: OpenModel;
  readonly #cacheDir: string;
  readonly #memory: MemoryEstimator;
  #tokenizer: Tokenizer | null | undefined;
  #cache: RowCache | undefined;
  #template: RowDetail['template'] | undefined;
  /** Holds the data sets by day, settings, paths, sizes and times; the one unused for longest comes first. */
  readonly #sets = new Map<string, ViewedSet>();
  /** Is asked before rows are read, so that the answers after a change never have the stamp of those before it. */
  readonly #watched = new WatchedFiles();
  /** Holds the page that was requested last. Reading for a report yields to it, because a person waits for it. */
  #page: Promise<unknown> = Promise.resolve();

  constructor(model: OpenModel, cacheDir: string) {
    this.#model = model;
    this.#cacheDir = cacheDir;
    this.#memory = new MemoryEstimator(model);
  }

  /** Opens the tokenizer when rows are first requested; the question what a recipe adapts does not need it. */
  get tokenizer(): Tokenizer | null {
    return this.#tokenizer === undefined ? (this.#tokenizer = tokenizerOf(this.#model)) : this.#tokenizer;
  }

  async answer(request: JobRequest, asker: JobAsker): Promise<unknown> {
    const { spec } = this.#model;
    switch (request.name) {
      case 'render':
        return this.#render(request, asker);
      case 'rows':
        return this.#showPage(request, asker);
      case 'row':
        return this.#showRow(request, asker);
      case 'pack':
        return this.#pack(request, asker);
      case 'find':
        return this.#find(request, asker);
      case 'report':
        return this.#report(request, asker);
      case 'memory':
        return this.#memory.estimate(request.recipe, request.longest);
      case 'targets':
        return planTargets(request.recipe, spec);
      case 'adapter':
        return this.#adapter(request.recipe);
      case 'choices':
        return this.#choices(request);
      case 'trialKey':
        return trialKey(trialFor(request.subject));
      default:
        throw new Problem(
          'request-invalid',
          `The data process does not handle '${request.name}'.`,
          'Send the request to the chat process.',
        );
    }
  }

  #adapter(recipe: Recipe): AdapterPlan {
    const { info, spec } = this.#model;
    const { length, modules } = plannedShape(recipe, this.#model);
    return {
      ...{ trainableParameters: length, totalParameters: info.parameters, matrices: modules.length },
      layers: spec.blocks.length,
    };
  }

  #choices({ adapterPath, ...hashes }: OneAdapter<string>): readonly ExportChoice[] {
    const opened = openRecordedOutline(this.#model, adapterPath, recordedOf(hashes));
    return exportChoices(adapted(this.#model, [{ opened, weight: 1 }]).model, opened.adapter.shape);
  }

  async #render(request: Extract<JobRequest, { name: 'render' }>, asker: JobAsker): Promise<RenderedRows> {
    const { source } = this.#set(request, request);
    const rows: RenderedRows['rows'][number][] = [];
    let tokens = 0;
    let next = request.offset;
    const isAtEnd = () => source.total !== null && next >= source.total;
    while (!isAtEnd() && tokens < tokensRendered && rows.length < mostRendered) {
      for (const row of await source.page(next, rowsRendered, watchFor(asker))) {
        rows.push(rendered(row));
        if ('inputIds' in row) tokens += row.inputIds.length;
      }
      next += rowsRendered;
    }
    return { rows, next: isAtEnd() ? null : next };
  }

  async #showPage(request: Extract<JobRequest, { name: 'rows' }>, asker: JobAsker): Promise<unknown> {
    return this.#first(this.#viewPage(request, asker));
  }

  async #showRow(request: Extract<JobRequest, { name: 'row' }>, asker: JobAsker): Promise<RowDetail> {
    return this.#first(this.#viewRow(request, asker));
  }

  async #find(request: Extract<JobRequest, { name: 'find' }>, asker: JobAsker): Promise<Result<DataRequests, 'data.find'>> {
    const files = await this.#watched.now(request.data);
    return { ...(await findRows(this.#set(request, {}).source, request, watchFor(asker))), ...files };
  }

  /** Lets other reading give way to what somebody waits for. */
  #first<T>(shown: Promise<T>): Promise<T> {
    this.#page = shown.catch(() => {});
    return shown;
  }

  /** Returns a page of rows of the data. */
  async #viewPage(
    request: Extract<JobRequest, { name: 'rows' }>,
    asker: JobAsker,
  ): Promise<{ rows: RowLine[]; total: number | null } & ReadFiles> {
    const { offset, limit, maxLength } = request;
    const files = await this.#watched.now(request.data);
    const { source, parts } = this.#set(request, request);
    const page = await source.page(offset, limit, watchFor(asker));
    const length = this.#lengthOf(maxLength);
    const rows = [...Map.groupBy(page, ({ index }) => index).values()];
    return {
      rows: rows.map((examples) => lineOf(examples as [RowOrProblem], length, parts)),
      ...{ total: source.total, ...files },
    };
  }

  async #viewRow(request: Extract<JobRequest, { name: 'row' }>, asker: JobAsker): Promise<RowDetail> {
    const { row, maxLength } = request;
    const files = await this.#watched.now(request.data);
    const { source, parts } = this.#set(request, request);
    const watch = watchFor(asker);
    const examples = await source.page(row, 1, watch);
    const tokenizer = this.tokenizer && rememberingTokenizer(this.tokenizer);
    const length = this.#lengthOf(maxLength);
    return {
      examples: await Promise.all(examples.map((example) => viewRow(example, tokenizer, length, parts))),
      record: await recordText(source, row, watch),
      template: (this.#template ??= templateOptions(this.tokenizer)),
      ...files,
    };
  }

  async #pack({ row, recipe, ...of }: Extract<JobRequest, { name: 'pack' }>, asker: JobAsker): Promise<RowPack | null> {
    const viewing = { rowSettings: rowSettings(recipe), ...(recipe.date === '' ? {} : { day: recipe.date }) };
    const { facts } = await this.#set(of, viewing).read(asker);
    const documentOverlap = recipe.longDocuments === 'split' ? recipe.documentOverlap : null;
    return packOf(row, facts.trainedLengths({ maxLength: this.#lengthOf(recipe.maxLength), documentOverlap }), recipe);
  }

  #lengthOf(maxLength: number): number {
    return Math.min(maxLength, positionLimit(this.#model.spec));
  }

  async #report(request: Extract<JobRequest, { name: 'report' }>, asker: JobAsker): Promise<DataReport> {
    const { data, split = 'train', maxLength } = request;
    const other: RowsAt = { data, split: split === 'train' ? 'eval' : 'train' };
    const others = rowFiles(other).paths.length === 0 ? null : await this.#set(other, request).read(asker);
    const { longDocuments, documentOverlap } = { ...defaultRecipe(), ...request.rowSettings };
    const { facts, ...columns } = await this.#set(request, request).read(asker);
    return reportOf(facts, maxLength, {
      ...columns,
      tokenizer: this.tokenizer,
      spec: this.#model.spec,
      others: others?.facts ?? null,
      files: await howFilesAreRead(rowFiles(request)),
      documentOverlap: longDocuments === 'split' ? documentOverlap : null,
      ...(await this.#watched.now(data)),
      newFiles: newTexts(data.fromFolders ?? [], [...data.paths, ...(data.evalPaths ?? [])]),
      parts: this.#set(request, request).parts,
    });
  }

  /**
   * Returns the data set of these rows as they are to be viewed. The rows do not belong to a run yet, so a template prints
   * today's date unless another day is asked for.
   */
  #set(rows: RowsAt, viewing: ViewingRows): ViewedSet {
    const files = rowFiles(rows);
    const settings = rowSettings({ ...defaultRecipe(), ...viewing.rowSettings });
    const day = viewing.day ?? today();
    const key = JSON.stringify([day, settings, files, stampOf(files.paths)]);
    const set = this.#sets.get(key) ?? this.#newSet(files, { ...settings, day });
    this.#sets.delete(key);
    this.#sets.set(key, set);
    for (const oldest of this.#sets.keys()) {
      if (this.#sets.size <= keptSets) break;
      this.#sets.delete(oldest);
    }
    return set;
  }

  #newSet(files: RowFiles, reading: RowReading): ViewedSet {
    this.#cache ??= tokenCache(this.#model, this.#cacheDir);
    const source = openRows(files, this.tokenizer, this.#model.spec.vocabularySize, reading, this.#cache);
    const onRead = (hashes: readonly string[]): void => this.#watched.learn(files.paths, hashes);
    return new ViewedSet(files, source, this.tokenizer, { first: () => this.#page, onRead });
  }
}

/** Returns what can be chosen about the chat template; nothing where there is none, or it cannot be read. */
function templateOptions(tokenizer: Tokenizer | null): RowDetail['template'] {
  const none = { printsDay: false, switchesThinking: false };
  if (tokenizer === null || tokenizer.chatTemplate === null) return none;
  try {
    return { printsDay: printsDay(tokenizer), switchesThinking: switchesThinking(openTemplate(tokenizer)) };
  } catch (error) {
    if (error instanceof Problem) return none;
    throw error;
  }
}

function rendered(row: RowOrProblem): RenderedRows['rows'][number] {
  if ('problem' in row) return { problem: row.problem };
  return {
    ...(row.turn === null ? {} : { row: row.index, turn: row.turn }),
    ...{ text: row.text, input_ids: [...row.inputIds], labels: [...row.labels] },
  };
}

/** Reports every group of rows to the asker before it is worked on, so that a group that never ends is known by its lines. */
function watchFor(asker: JobAsker): ReadingWatch {
  return followReading({
    phase: 'Reading the rows',
    isStopped: () => asker.signal.aborted,
    report: (progress) => asker.report(progress),
    every: 0,
  });
}

interface ReadSet {
  readonly facts: RowFacts;
  readonly unused: RowsSummary['unused'];
  readonly repeated: RowsSummary['repeated'];
  readonly formats: RowsSummary['formats'];
  readonly prefixes: readonly SharedPrefix[];
}

/** Represents a data set that is being examined. It is read once for everyone who asks for it, as long as one of them waits. */
class ViewedSet {
  readonly source: Rows;
  readonly #files: RowFiles;
  readonly #tokenizer: Tokenizer | null;
  /** Returns what the reading waits for before each group of rows. */
  readonly #first: () => Promise<unknown>;
  /** Receives the SHA-256 of each file when all rows have been read. */
  readonly #onRead: (hashes: readonly string[]) => void;
  readonly #askers = new Set<JobAsker>();
  #reading: Promise<ReadSet> | null = null;

  constructor(
    files: RowFiles,
    source: Rows,
    tokenizer: Tokenizer | null,
    { first, onRead }: { readonly first: () => Promise<unknown>; readonly onRead: (hashes: readonly string[]) => void },
  ) {
    this.#files = files;
    this.source = source;
    this.#tokenizer = tokenizer;
    this.#first = first;
    this.#onRead = onRead;
  }

  /** Returns the names of the parts of a mix, or none where the data is not a mix. */
  get parts(): readonly string[] {
    return partNames(this.#files);
  }

  async read(asker: JobAsker): Promise<ReadSet> {
    if (asker.signal.aborted) throw stoppedReading();
    const { promise: left, reject } = Promise.withResolvers<never>();
    const leave = () => {
      this.#askers.delete(asker);
      reject(stoppedReading());
    };
    asker.signal.addEventListener('abort', leave, { once: true });
    this.#askers.add(asker);
    try {
      this.#reading ??= this.#read();
      return await Promise.race([this.#reading, left]);
    } finally {
      asker.signal.removeEventListener('abort', leave);
      this.#askers.delete(asker);
    }
  }

  /** Reads the texts that many rows begin with from the first of them. */
  async #prefixes({ statistics }: RowFacts, watch: ReadingWatch): Promise<SharedPrefix[]> {
    const prefixes: SharedPrefix[] = [];
    for (const { row, rows } of statistics.sharedPrefixes) {
      const [first] = await this.source.page(row, 1, watch);
      if (first === undefined || !('inputIds' in first)) continue;
      const ids = [...first.inputIds.subarray(0, prefixTokens)];
      const text = (await this.#tokenizer?.decode(ids)) ?? ids.join(' ');
      prefixes.push({ text, tokens: prefixTokens, rows, row });
    }
    return prefixes;
  }

  async #read(): Promise<ReadSet> {
    const facts = new RowFacts(this.#tokenizer);
    const follow = followReading({
      phase: 'Checking the rows',
      isStopped: () => this.#askers.size === 0,
      report: (progress) => {
        for (const asker of this.#askers) asker.report(progress);
      },
      every: 0,
    });
    try {
      const watch = async (position: ReadingPosition): Promise<void> => {
        await this.#first();
        follow(position);
      };
      const read = () => this.source.read((examples) => facts.add(examples), watch);
      const { unused, repeated, formats, hashes, notKept } = await readUnchanged(this.#files.paths, read);
      // Clients that wait for a report need not know.
      if (notKept !== null) logError(`The tokens of ${this.#files.paths.join(', ')} were not cached: ${notKept}.`);
      this.#onRead(hashes);
      const prefixes = await this.#prefixes(facts, watch);
      return { facts, unused, repeated, formats, prefixes };
    } catch (error) {
      // The next request begins again.
      this.#reading = null;
      throw error;
    }
  }
}
