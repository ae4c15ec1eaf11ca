/** Job `train`: from paths and a recipe to a run folder with an adapter. */
import { basename } from 'node:path';
import type { EvalMetrics, JobSpec, StepMetrics } from '../contract.ts';
import { today } from '../data/day.ts';
import { rowNotes } from '../data/report.ts';
import { contentKey } from '../data/row-facts.ts';
import type { Tokenizer } from '../data/tokenizer.ts';
import { openModel, quantizedModel, type OpenModel } from '../models/open.ts';
import { positionLimit } from '../models/positions.ts';
import { Problem, toProblemValue } from '../problem.ts';
import { checkRecipe, ownNames, type Recipe, type RecipeInput, rowSettings } from '../recipe.ts';
import { cpuThreads } from '../runtime/devices.ts';
import { openSession } from '../runtime/session.ts';
import type { Step } from '../export/progress.ts';
import { inTurns, longestSequence, prepareExamples, type Example, type PreparedExamples } from '../training/examples.ts';
import { objectives } from '../training/objectives/index.ts';
import { examplesPerStep, totalExamples, totalSteps } from '../training/order.ts';
import { loadCheckpoint, newestCheckpoint, saveCheckpoint, type TrainingState } from '../training/checkpoint.ts';
import { train } from '../training/loop.ts';
import type { Adapter } from '../adapters/adapter.ts';
import { adapterKeys, adapterRecipe } from '../adapters/config.ts';
import { openAdapted } from '../adapters/adapted.ts';
import { writeAdapter } from '../adapters/folder.ts';
import { parameterGroups } from '../training/rates.ts';
import { newAdapter } from '../adapters/initial.ts';
import { plainAdapter } from '../adapters/plain.ts';
import { loftqAdapter } from '../adapters/loftq.ts';
import { principalAdapter } from '../training/principal.ts';
import { contextNotes, givenAdapterNotes, recipeNotes } from '../training/notes.ts';
import { newAdamState } from '../training/optimizer.ts';
import { resumedPlan, type ComputePlan } from '../training/plan.ts';
import { learningRate } from '../training/schedule.ts';
import { largestBatch } from '../training/step-sizes.ts';
import { versions } from '../versions.ts';
import { baseRecord, requireSameRun, runIdentity, startRecord, templateHash, tokenizerHash, tokensHash } from './identity.ts';
import { chooseDevice, computePlan, loadRows, openTrainStep, tokenizerOf, type LoadedRows, type RowsReading } from './load.ts';
import type { JobPort } from './port.ts';
import { stepOf } from './progress.ts';
import { addSamples, maxPrompts } from './samples.ts';
import { dayOfRun, RunFolder, type DataRecord, type RunRecord } from './run-folder.ts';

type TrainSpec = Extract<JobSpec, { kind: 'train' }>;

export interface TrainResult {
  readonly adapterPath: string;
  readonly steps: number;
  readonly lastLoss: number | null;
  readonly evalLoss: number | null;
}

export async function runTrain(spec: TrainSpec, port: JobPort): Promise<TrainResult> {
  const folder = new RunFolder(spec.out, () => port.send({ type: 'written', slowestStep: 0 }));
  let isUnderway = false;
  const begin = () => {
    isUnderway = true;
    port.send({ type: 'underway' });
  };
  const { promise: stopped, reject } = Promise.withResolvers<never>();
  // Nothing is lost before the first step, so a stop ends the run wherever it is.
  void port.untilStopped().then(() => isUnderway || reject(stoppedBefore()));
  try {
    const result = await Promise.race([trainIn(folder, spec, port, begin), stopped]);
    folder.end('done', null);
    return result;
  } catch (error) {
    folder.discardUnbegun();
    const problem = toProblemValue(error);
    if (problem.code === 'stopped') folder.end('stopped', null);
    else folder.end('failed', problem);
    throw error;
  } finally {
    folder.close();
  }
}

async function trainIn(folder: RunFolder, spec: TrainSpec, port: JobPort, begin: () => void): Promise<TrainResult> {
  const given = requireRecipe(spec.recipe);
  report(port, 'Reading the model');
  const before = spec.adapterPath === null ? [] : [{ path: spec.adapterPath, weight: 1 }];
  const from = openAdapted(openModel(spec.modelPath, spec.acceptFields), before);
  const opened = from.model;
  const earlier = folder.open(spec.resume);
  const recipe = earlier ? resumedRecipe(earlier, spec.recipe) : given;
  const model = quantizedModel(opened, recipe.baseQuantization);
  const device = chooseDevice(spec.device, spec.devices, earlier?.device.provider);
  const { provider } = device;

  report(port, 'Reading the data');
  const tokenizer = tokenizerOf(model);
  const day = (earlier && dayOfRun(earlier)) ?? today();
  const { dataPaths, evalPaths, skipBadRows } = spec;
  const prepare = (paths: readonly string[], whole: number) =>
    prepareData(paths, model, tokenizer, recipe, { skipBadRows, whole, day }, { folder, port });
  const data = await prepare(dataPaths, 0);
  const evaluation = evalPaths.length === 0 ? null : await prepare(evalPaths, maxPrompts);

  const { examples } = data.prepared;
  const longest = longestSequence(examples);
  const here = computePlan(recipe, provider, longest);
  const { start, notExact, notes } = await startingState(
    spec,
    recipe,
    here,
    { model, whole: opened, first: from.adapters[0]?.adapter ?? null },
    { folder, earlier },
    port,
  );
  const { adapter, adam, plan } = start;
  const steps = totalSteps(recipe, examples.length);
  if (steps < start.step)
    throw new Problem(
      'recipe-invalid',
      `The run has made ${start.step} steps already, and this recipe ends after ${steps}.`,
      'Give it more steps or epochs, or start a new run in another folder.',
    );
  const record: RunRecord = {
    version: 1,
    // An adapter to go on from decides its shape, whatever the recipe says.
    recipe: spec.adapterPath === null ? recipe : { ...recipe, ...adapterRecipe(adapter.config) },
    day,
    base: baseRecord(model, spec.cacheDir),
    startedFrom: spec.adapterPath === null ? null : await startRecord(spec.adapterPath),
    data: await dataRecord(spec.dataPaths, data, port),
    evaluation: evaluation === null ? (earlier?.evaluation ?? null) : await dataRecord(spec.evalPaths, evaluation, port),
    tokenizerHash: tokenizerHash(model.tokenizerSource),
    templateHash: templateHash(tokenizer),
    device: { provider, name: device.name, threads: plan.threads },
    versions,
    notExact: [...(earlier?.notExact ?? []), ...notExact.map((why) => `from step ${start.step}: ${why}`)],
    totalSteps: steps,
    trainableParameters: adapter.shape.length,
    startedAt: earlier?.startedAt ?? new Date().toISOString(),
    finishedAt: null,
  };
  if (earlier) await requireSameRun(earlier, record);
  if (port.stopRequested) throw stoppedBefore();
  folder.write(record);
  const identity = runIdentity(record);
  folder.begin(start.step, longest);
  const ofRows = (paths: readonly string[], { loaded }: Data) =>
    rowNotes(loaded.findings, loaded.unused).map((note) => `${paths.join(', ')}: ${note}`);
  const allNotes = [
    ...from.notes,
    ...notes,
    ...ofRows(dataPaths, data),
    ...(evaluation === null ? [] : ofRows(evalPaths, evaluation)),
    ...(earlier === null
      ? dayNotes(tokenizer, day)
      : resumeNotes(earlier, record, { step: start.step, examples: examples.length, isEvaluated: evaluation !== null })),
    ...(spec.adapterPath === null ? [] : givenAdapterNotes(spec.recipe, adapter, model.spec)),
    ...recipeNotes(recipe, examples.length),
    ...contextNotes(model.spec, examples),
    ...(await sharedNotes(examples, evaluation?.prepared.examples ?? [], onTurn(port))),
  ];
  // Rows that are trained and evaluated say the same of both.
  for (const text of new Set(allNotes)) folder.log(text);

  const samples = async (step: number, trained: Adapter | null) => {
    if (tokenizer === null || evaluation === null) return;
    report(port, 'Answering evaluation prompts');
    const answering = { ...plan, cacheDir: spec.cacheDir };
    await addSamples(step, model, tokenizer, evaluation.loaded.whole, trained, answering, { folder, port });
  };
  report(port, 'Preparing the weights');
  if (start.step === 0) await samples(0, spec.adapterPath === null ? null : adapter);
  const trainStep = await openTrainStep(model, adapter.shape, {
    ...recipe,
    ...plan,
    initial: adapter.initial,
    largest: largestBatch(recipe, longest),
    cacheDir: spec.cacheDir,
  });
  const reporter = new Reporter(port, folder, steps);
  let seconds = start.seconds;
  try {
    begin();
    reporter.begin(start.step);
    await train({
      step: trainStep,
      recipe,
      objective: objectives.sft,
      examples,
      evalExamples: evaluation?.prepared.examples ?? [],
      parameters: adapter.parameters,
      groups: parameterGroups(adapter.shape, recipe),
      adam,
      stepsDone: start.step,
      totalSteps: steps,
      evaluated: folder.hasEvaluation(start.step),
      stopRequested: () => port.stopRequested,
      onStep: (row) => {
        seconds += row.seconds;
        reporter.step(row);
      },
      onEvaluating: (done) => reporter.evaluating(done, evaluation?.prepared.examples.length ?? 0),
      onEvaluation: (row) => reporter.evaluation(row),
      save: (step) => {
        folder.flush();
        folder.requireThere();
        const checkpoint = saveCheckpoint(
          folder.checkpoints,
          { step, seconds, adapter, plain: plainAdapter(adapter, model.spec), adam, plan, run: identity },
          recipe.keepCheckpoints,
        );
        reporter.flush();
        folder.checkpoint(checkpoint);
      },
    });
  } finally {
    reporter.flush();
    await trainStep.release();
  }

  report(port, 'Saving the adapter');
  const trained = plainAdapter(adapter, model.spec);
  folder.requireThere();
  writeAdapter(folder.adapter, trained, { tokenizer: model.tokenizerFolder === null ? null : tokenizer });
  await samples(steps, trained);
  folder.write({ ...record, finishedAt: new Date().toISOString() });
  return { adapterPath: folder.adapter, steps, lastLoss: reporter.lastLoss, evalLoss: reporter.lastEvalLoss };
}

// ── Before the first step ───────────────────────────────────────────────────────────────────────────────────────────────

/** What is done with all rows once they are read takes seconds for a million. */
const onTurn = (port: JobPort): Step => stepOf(port, 'Preparing the rows', 'rows');

function stoppedBefore(): Problem {
  return new Problem('stopped', 'Stopped before its first step, as asked.', 'Start it again, or resume it.');
}

function requireRecipe(input: RecipeInput): Recipe {
  const checked = checkRecipe(input);
  if ('recipe' in checked) return checked.recipe;
  throw new Problem(
    'recipe-invalid',
    checked.errors.map(({ message }) => message).join(' '),
    'Correct the recipe; every field has a default and may be left out.',
  );
}

/** Settings a run may go on with at other values: how long it goes and how often it reports, not what it computes. */
const changeable = ['epochs', 'maxSteps', 'evalEvery', 'saveEvery', 'keepCheckpoints'] as const;

function resumedRecipe({ recipe: earlier, startedFrom }: RunRecord, input: RecipeInput): Recipe {
  // An adapter to go on from has decided the shape, whatever the recipe says.
  const free: readonly string[] = startedFrom === null ? changeable : [...changeable, ...adapterKeys];
  const [before, now] = [requireRecipe(earlier), requireRecipe(input)];
  const given = ownNames(input).fields;
  const changed = (Object.keys(given) as (keyof Recipe)[]).find(
    (key) => !free.includes(key) && JSON.stringify(now[key]) !== JSON.stringify(before[key]),
  );
  if (changed !== undefined)
    throw new Problem(
      'recipe-invalid',
      `The run was started with another '${changed}': ${JSON.stringify(before[changed])}, not ${JSON.stringify(given[changed])}.`,
      `Resume it without this setting. Only ${changeable.join(', ')} may change.`,
    );
  const adopted = Object.entries(given).filter(([key]) => (changeable as readonly string[]).includes(key));
  return requireRecipe({ ...earlier, ...Object.fromEntries(adopted) });
}

interface Data {
  readonly loaded: LoadedRows;
  readonly prepared: PreparedExamples;
}

async function prepareData(
  paths: readonly string[],
  model: OpenModel,
  tokenizer: Tokenizer | null,
  recipe: Recipe,
  reading: RowsReading,
  { folder, port }: { readonly folder: RunFolder; readonly port: JobPort },
): Promise<Data> {
  const positions = positionLimit(model.spec);
  const length = Math.min(recipe.maxLength, positions);
  // One token more than is trained, so that a row that is cut is known as such.
  const settings = { ...reading, ...rowSettings(recipe), maxTokens: length + 1 };
  const loaded = await loadRows(paths, model, tokenizer, settings, port);
  const prepared = await prepareExamples(loaded.rows, length, onTurn(port));
  const limit = positions < recipe.maxLength ? `the model's ${positions} positions` : `${length} tokens`;
  const { read, skipped } = loaded;
  const used = read - skipped;
  const examples = loaded.rows.length;
  const noun = examples === used ? 'rows' : 'examples';
  const say = (count: number, of: string, what: string) => {
    if (count > 0) folder.log(`${paths.join(', ')}: ${count} of ${of} ${what}.`);
  };
  say(skipped, `${read} rows`, 'cannot be used and are left out');
  if (examples > used)
    folder.log(
      `${paths.join(', ')}: ${used} rows are ${examples} examples. The chat template writes earlier turns differently, so turns are trained apart.`,
    );
  say(prepared.truncated, `${examples} ${noun}`, `are longer than ${limit} and are cut at the right`);
  say(prepared.withoutTarget, `${examples} ${noun}`, 'have nothing to train on within that length and are left out');
  if (prepared.examples.length === 0)
    throw new Problem(
      'nothing-to-train',
      `No row of ${paths.join(', ')} has a trained token within the first ${length} tokens.`,
      positions < recipe.maxLength ? 'The model has no more positions: shorten the rows.' : 'Raise maxLength.',
    );
  return { loaded, prepared };
}

interface Start {
  readonly start: TrainingState;
  /** Why the bits may not be those of a run that was never interrupted. */
  readonly notExact: readonly string[];
  /** What a person should know of how it goes on. */
  readonly notes: readonly string[];
}

/** What is trained on, and the same before it was quantized. */
interface Bases {
  readonly model: OpenModel;
  readonly whole: OpenModel;
  /** The adapter that is trained on; null: a new one. */
  readonly first: Adapter | null;
}

/** Where the run begins: at its newest checkpoint, at the adapter it was given, or at a new one. */
async function startingState(
  spec: TrainSpec,
  recipe: Recipe,
  here: ComputePlan,
  bases: Bases,
  { folder, earlier }: { readonly folder: RunFolder; readonly earlier: RunRecord | null },
  port: JobPort,
): Promise<Start> {
  const found = earlier && newestCheckpoint(folder.checkpoints, runIdentity(earlier));
  const named = (paths: readonly string[] = []) => paths.map((path) => basename(path)).join(', ');
  const [damaged, ofAnother] = [named(found?.damaged), named(found?.ofAnother)];
  if (found?.whole != null) {
    const start = loadCheckpoint(found.whole, bases.model);
    const { plan, notExact, notes } = resumedPlan(start.plan, here);
    const said = [
      ...(damaged === '' ? [] : [`Damaged and passed over: ${damaged}.`]),
      ...(ofAnother === '' ? [] : [`Of another run and passed over: ${ofAnother}.`]),
      `Going on from the checkpoint of step ${start.step}.`,
      ...notes,
      ...(notExact.length === 0
        ? []
        : [`The result may differ in its last digits from a run without a break: ${notExact.join('; ')}.`]),
    ];
    return { start: { ...start, plan }, notExact, notes: said };
  }
  const unusable = [damaged && `damaged (${damaged})`, ofAnother && `of another run (${ofAnother})`]
    .filter(Boolean)
    .join(' or ');
  const startsOver = unusable === '' ? 'There is no checkpoint yet' : `Every checkpoint is ${unusable}`;
  const adapter = await firstAdapter(spec, recipe, bases, port);
  return {
    start: { step: 0, seconds: 0, adapter, adam: newAdamState(adapter.parameters.length), plan: here },
    notExact: [],
    notes: found === null ? [] : [`${startsOver}: the run starts over from its first step.`],
  };
}

async function firstAdapter(
  { cacheDir }: TrainSpec,
  recipe: Recipe,
  { model, whole, first }: Bases,
  port: JobPort,
): Promise<Adapter> {
  const base = model.info.name;
  // How much is dropped belongs to the training, not to the adapter.
  if (first !== null) return { ...first, config: { ...first.config, dropout: recipe.dropout, base } };
  const adapter = newAdapter(recipe, model, base);
  const { method, initialization, seed } = recipe;
  if (method === 'full' || !/^(pissa|olora|loftq)/.test(initialization)) return adapter;
  const onModule = stepOf(port, 'Decomposing the matrices', 'matrices');
  if (initialization === 'loftq') return loftqAdapter(adapter, model.spec, whole.weights, model.weights, { seed, onModule });
  return principalAdapter(adapter, model, {
    ...{ initialization, seed, cacheDir, openSession, onModule },
    threads: cpuThreads(),
  });
}

async function dataRecord(paths: readonly string[], { loaded, prepared }: Data, port: JobPort): Promise<DataRecord> {
  const { format, hash, skipped } = loaded;
  const { examples, truncated, withoutTarget } = prepared;
  const rows = new Set(examples.map(({ index }) => index)).size;
  return {
    paths,
    hash,
    tokensHash: await tokensHash(examples, onTurn(port)),
    format,
    rows,
    examples: examples.length,
    skipped,
    truncated,
    withoutTarget,
  };
}

/** That a chat template prints a date, which then stays the run's own. */
function dayNotes(tokenizer: Tokenizer | null, day: string): string[] {
  return tokenizer?.chatTemplate?.includes('strftime_now') === true
    ? [`The chat template prints the date. That of this run is ${day}, also when it goes on or is evaluated later.`]
    : [];
}

/** How a run goes on otherwise than it was planned before. */
function resumeNotes(
  earlier: RunRecord,
  now: RunRecord,
  { step, examples, isEvaluated }: { readonly step: number; readonly examples: number; readonly isEvaluated: boolean },
): string[] {
  const { recipe, totalSteps: steps } = now;
  const notes: string[] = [];
  if (earlier.data.tokensHash === undefined)
    notes.push(
      `The run was begun with version ${earlier.versions.studio}, which did not record its tokens, tokenizer and day: whether they are the same cannot be told. Dates in a chat template are those of ${now.day}.`,
    );
  if (steps !== earlier.totalSteps && step > 0) {
    const [planned, rate] = [earlier.totalSteps, steps].map((total) => learningRate(recipe, step, total).toPrecision(3));
    const asPlanned = step < earlier.totalSteps ? `${planned}` : 'the end';
    if (recipe.schedule !== 'constant' && step < steps)
      notes.push(
        `The run is of ${steps} steps now and was of ${earlier.totalSteps}: from step ${step} on the learning rate follows another schedule, and goes on at ${rate} instead of ${asPlanned}.`,
      );
  }
  if (isEvaluated !== (earlier.evaluation !== null))
    notes.push(
      isEvaluated
        ? 'The run was not evaluated before, and is from here on.'
        : 'The run was evaluated before, and is not from here on: no evaluation data was given.',
    );
  const missing = step * examplesPerStep(recipe) - totalExamples(earlier.recipe, examples);
  if (step < steps && missing > 0)
    notes.push(`The run had ended with a step of fewer rows: ${missing} that would have filled it are passed over this time.`);
  return notes;
}

/** Evaluation on rows that are trained says little about new ones. */
async function sharedNotes(examples: readonly Example[], evaluation: readonly Example[], onTurn: Step): Promise<string[]> {
  if (evaluation.length === 0) return [];
  const keys = evaluation.map(keyOf);
  const evaluated = new Set(keys);
  // The examples that are trained may be many more, so their keys are not kept.
  const trained = new Set<string>();
  for await (const some of inTurns(examples, onTurn))
    for (const example of some) {
      const key = keyOf(example);
      if (evaluated.has(key)) trained.add(key);
    }
  const shared = keys.filter((key) => trained.has(key)).length;
  return shared === 0
    ? []
    : [
        `${shared} of ${evaluation.length} evaluation rows are trained on too: the evaluation loss then says less about new rows.`,
      ];
}

function keyOf({ sequences }: Example): string {
  return sequences.map(contentKey).join('');
}

// ── While it runs ───────────────────────────────────────────────────────────────────────────────────────────────────────

function report(port: JobPort, phase: string): void {
  port.send({ type: 'progress', progress: { phase, done: 0, total: 0, unit: '', secondsLeft: null } });
}

/** Steps whose median is the expected duration of the next. */
const recentSteps = 20;
const millisecondsBetweenMessages = 100;

/** Writes every row to the folder at once and says so about ten times a second at most. */
class Reporter {
  readonly #port: JobPort;
  readonly #folder: RunFolder;
  readonly #totalSteps: number;
  /** The duration of the slowest step that was not told of yet. */
  #slowest = 0;
  #durations: number[] = [];
  #sentAt = -Infinity;
  #done = 0;
  lastLoss: number | null = null;
  lastEvalLoss: number | null = null;

  constructor(port: JobPort, folder: RunFolder, steps: number) {
    this.#port = port;
    this.#folder = folder;
    this.#totalSteps = steps;
  }

  begin(done: number): void {
    this.#done = done;
    this.#sendProgress();
  }

  step(row: StepMetrics): void {
    this.#folder.step(row);
    this.#slowest = Math.max(this.#slowest, row.seconds);
    this.#durations = [...this.#durations.slice(1 - recentSteps), row.seconds];
    this.#done = row.step;
    this.lastLoss = row.loss;
    if (performance.now() - this.#sentAt >= millisecondsBetweenMessages) this.flush();
  }

  evaluating(done: number, total: number): void {
    const secondsLeft = this.#secondsLeft();
    this.#port.send({ type: 'progress', progress: { phase: 'Evaluating', done, total, unit: 'rows', secondsLeft } });
  }

  evaluation(row: EvalMetrics): void {
    this.lastEvalLoss = row.evalLoss;
    this.flush();
    this.#folder.evaluation(row);
  }

  flush(): void {
    if (this.#slowest === 0) return;
    this.#sendProgress();
    this.#port.send({ type: 'written', slowestStep: this.#slowest });
    this.#slowest = 0;
    this.#sentAt = performance.now();
  }

  #sendProgress(): void {
    const progress = {
      phase: 'Training',
      done: this.#done,
      total: this.#totalSteps,
      unit: 'steps',
      secondsLeft: this.#secondsLeft(),
    };
    this.#port.send({ type: 'progress', progress });
  }

  #secondsLeft(): number | null {
    const sorted = this.#durations.toSorted((a, b) => a - b);
    const median = sorted[sorted.length >> 1];
    return median === undefined ? null : median * (this.#totalSteps - this.#done);
  }
}
