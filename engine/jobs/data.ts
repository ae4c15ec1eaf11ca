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
  RenderedRows,
  RowsAt,
  RowView,
  ViewingRows,
} from '../contract.ts';
import { today } from '../data/day.ts';
import { rememberingTokenizer, reportOf, viewRow } from '../data/report.ts';
import { howFilesAreRead } from '../data/how-read.ts';
import { RowFacts } from '../data/row-facts.ts';
import { changedFiles, type RowFiles, rowFiles } from '../data/row-files.ts';
import type { ReadingPosition, ReadingWatch, RowCache, RowOrProblem, RowReading, RowsSummary } from '../data/row.ts';
import { RowSource } from '../data/rows.ts';
import { type Tokenizer, tokenizerOf } from '../data/tokenizer.ts';
import { exportChoices } from '../export/index.ts';
import { stampOf } from '../formats/files.ts';
import { openModel, type OpenModel } from '../models/open.ts';
import { positionLimit } from '../models/positions.ts';
import { logError, Problem } from '../problem.ts';
import { defaultRecipe, type Recipe, rowSettings } from '../recipe.ts';
import { MemoryEstimator } from '../training/memory.ts';
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
  /** Holds the data sets by day, settings, paths, sizes and times; the one unused for longest comes first. */
  readonly #sets = new Map<string, ViewedSet>();
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
        throw new Problem('request-invalid', `Data preparation does not answer '${request.name}'.`, 'Ask the chat process.');
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
    const page = this.#viewPage(request, asker);
    this.#page = page.catch(() => {});
    return page;
  }

  /** Returns a page of rows of the data; all examples of a row are on the same page. */
  async #viewPage(
    request: Extract<JobRequest, { name: 'rows' }>,
    asker: JobAsker,
  ): Promise<{ rows: RowView[]; total: number | null }> {
    const { offset, limit, maxLength } = request;
    const { source } = this.#set(request, request);
    const page = await source.page(offset, limit, watchFor(asker));
    const length = Math.min(maxLength, positionLimit(this.#model.spec));
    const tokenizer = this.tokenizer && rememberingTokenizer(this.tokenizer);
    return { rows: await Promise.all(page.map((row) => viewRow(row, tokenizer, length))), total: source.total };
  }

  async #report(request: Extract<JobRequest, { name: 'report' }>, asker: JobAsker): Promise<DataReport> {
    const { data, split = 'train', maxLength } = request;
    const other: RowsAt = { data, split: split === 'train' ? 'eval' : 'train' };
    const others = rowFiles(other).paths.length === 0 ? null : await this.#set(other, request).read(asker);
    const { longDocuments, documentOverlap } = { ...defaultRecipe(), ...request.rowSettings };
    const { facts, changed, ...columns } = await this.#set(request, request).read(asker);
    return reportOf(facts, maxLength, {
      ...columns,
      tokenizer: this.tokenizer,
      spec: this.#model.spec,
      others: others?.facts ?? null,
      files: await howFilesAreRead(rowFiles(request)),
      documentOverlap: longDocuments === 'split' ? documentOverlap : null,
      changed: [...changed, ...(others?.changed ?? [])],
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
    const source = new RowSource(files, this.tokenizer, this.#model.spec.vocabularySize, reading, this.#cache);
    return new ViewedSet(files, source, this.tokenizer, () => this.#page);
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
  readonly changed: readonly string[];
}

/** Represents a data set that is being examined. It is read once for everyone who asks for it, as long as one of them waits. */
class ViewedSet {
  readonly source: RowSource;
  readonly #files: RowFiles;
  readonly #tokenizer: Tokenizer | null;
  /** Returns what the reading waits for before each group of rows. */
  readonly #first: () => Promise<unknown>;
  readonly #askers = new Set<JobAsker>();
  #reading: Promise<ReadSet> | null = null;

  constructor(files: RowFiles, source: RowSource, tokenizer: Tokenizer | null, first: () => Promise<unknown>) {
    this.#files = files;
    this.source = source;
    this.#tokenizer = tokenizer;
    this.#first = first;
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
      if (notKept !== null)
        logError(`The tokens of ${this.#files.paths.join(', ')} are not kept for the next time: ${notKept}.`);
      return { facts, unused, repeated, formats, changed: changedFiles(this.#files, hashes) };
    } catch (error) {
      // The next request begins again.
      this.#reading = null;
      throw error;
    }
  }
}
