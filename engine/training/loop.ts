/** The training loop: everything that happens between the first step and the last, one line each. */
import { setImmediate as macrotask } from 'node:timers/promises';
import type { EvalMetrics, StepMetrics } from '../contract.ts';
import { Problem } from '../problem.ts';
import type { Recipe } from '../recipe.ts';
import { inGroups, RowOrder, supervisedTokens, totalRows, type TrainingRow } from './batches.ts';
import { packRows, toBatch } from './micro-batch.ts';
import { adamwUpdate, clipByNorm, globalNorm, type AdamState, type ParameterGroup } from './optimizer.ts';
import { learningRate } from './schedule.ts';
import type { StepResult, TrainStep } from './step.ts';

/** What the loop is handed. `parameters` and `adam` are updated in place. */
export interface Training {
  readonly step: Pick<TrainStep, 'prepare' | 'gradient' | 'evaluate'>;
  readonly recipe: Recipe;
  readonly rows: readonly TrainingRow[];
  readonly evalRows: readonly TrainingRow[];
  readonly parameters: Float32Array;
  /** Parts of them with other learning rates; left out, there are none. */
  readonly groups?: readonly ParameterGroup[];
  readonly adam: AdamState;
  /** Steps made so far: 0, or those of the checkpoint a run goes on from. */
  readonly stepsDone: number;
  readonly totalSteps: number;
  /** The evaluation at `stepsDone` is already known. */
  readonly evaluated: boolean;
  stopRequested(): boolean;
  onStep(metrics: StepMetrics): void;
  onEvaluating(rowsDone: number): void;
  onEvaluation(metrics: EvalMetrics): void;
  /** Saves the present state, which is that after `step` steps. */
  save(step: number): void;
}

/**
 * Trains to the last step. Parameters change only once per step, when the gradients of all its micro-batches are there, so a stop or
 * a failure at any moment leaves the state after the last whole step, and a run that goes on from it takes the same path again.
 */
export async function train(training: Training): Promise<void> {
  const { recipe, rows, evalRows, parameters, adam, totalSteps } = training;
  const order = new RowOrder(rows, recipe, totalRows(recipe, rows.length));

  for (let step = training.stepsDone; ; step++) {
    const isStart = step === training.stepsDone;
    const isEnd = step === totalSteps;
    try {
      if (evalRows.length > 0 && (isEnd || isDue(step, recipe.evalEvery)) && !(isStart && training.evaluated)) {
        const { loss } = await evaluateRows(training, evalRows, recipe, parameters, training.onEvaluating);
        training.onEvaluation({ step, evalLoss: loss });
      }
      if (!isStart && (isEnd || isDue(step, recipe.saveEvery))) training.save(step);
      if (isEnd) return;

      await training.step.prepare();
      const started = performance.now();
      const batches = order.stepRows(step);
      const { loss, gradient } = await meanGradient(training, batches, step);
      const gradientNorm = globalNorm(gradient);
      requireFinite(gradientNorm, 'gradient', step, batches.flat());
      const rate = learningRate(recipe, step, totalSteps);
      clipByNorm(gradient, gradientNorm, recipe.maxGradientNorm);
      adamwUpdate(parameters, gradient, adam, rate, recipe, training.groups);
      requireFinite(globalNorm(parameters), 'size of the updated adapter', step, batches.flat());

      training.onStep({
        step: step + 1,
        loss,
        learningRate: rate,
        gradientNorm,
        supervisedTokens: countSupervised(batches.flat()),
        tokens: batches.flat().reduce((sum, row) => sum + row.inputIds.length, 0),
        seconds: (performance.now() - started) / 1000,
        memory: process.resourceUsage().maxRSS * 1024,
        epoch: order.epochsAfter(step + 1),
      });
    } catch (error) {
      if (error instanceof Stopped) training.save(step);
      throw error;
    }
  }
}

/** Mean loss and gradient over all supervised tokens of a step, however they are spread over its micro-batches. */
async function meanGradient(training: Training, batches: readonly TrainingRow[][], step: number) {
  const count = countSupervised(batches.flat());
  const gradient = new Float32Array(training.parameters.length);
  let loss = 0;
  let firstRow = 0;
  const { packing } = training.recipe;
  for (const rows of packing ? packRows(batches.flat()) : batches) {
    await stopHere(training);
    const result = await training.step.gradient(toBatch(rows, packing), training.parameters, { step, firstRow });
    firstRow += rows.length;
    for (const tokenLoss of result.tokenLoss) loss += tokenLoss / count;
    requireFinite(loss, 'loss', step, rowsNotFinite(result, rows));
    for (let i = 0; i < gradient.length; i++) gradient[i] = gradient[i]! + result.gradient![i]! / count;
  }
  return { loss, gradient };
}

/** Loss over rows: the mean over all their supervised tokens, and each row's own. */
export interface RowsLoss {
  readonly loss: number;
  readonly supervisedTokens: number;
  readonly rows: readonly { readonly loss: number; readonly supervisedTokens: number }[];
}

/** Evaluates `rows`, packed or in groups of `batchSize`. */
export async function evaluateRows(
  work: Pick<Training, 'stopRequested'> & { readonly step: Pick<TrainStep, 'evaluate'> },
  rows: readonly TrainingRow[],
  { packing, batchSize }: Pick<Recipe, 'packing' | 'batchSize'>,
  parameters: Float32Array,
  onProgress: (rowsDone: number) => void = () => {},
): Promise<RowsLoss> {
  const sums = new Float64Array(rows.length);
  let first = 0;
  for (const group of packing ? packRows(rows) : inGroups(rows, batchSize)) {
    await stopHere(work);
    const { tokenLoss, tokenRow } = await work.step.evaluate(toBatch(group, packing), parameters);
    tokenLoss.forEach((loss, i) => (sums[first + tokenRow[i]!]! += loss));
    const bad = rows.slice(first, first + group.length).filter((_, i) => !Number.isFinite(sums[first + i]!));
    if (bad.length > 0)
      throw new Problem(
        'loss-not-finite',
        `The loss is not a finite number. Rows: ${placesOf(bad)}.`,
        'The model or the adapter may be damaged, or come from a run that diverged.',
      );
    first += group.length;
    onProgress(first);
  }
  const counts = rows.map((row) => supervisedTokens(row.labels));
  const total = countSupervised(rows);
  return {
    loss: sums.reduce((sum, loss) => sum + loss, 0) / total,
    supervisedTokens: total,
    rows: counts.map((count, i) => ({ loss: count === 0 ? 0 : sums[i]! / count, supervisedTokens: count })),
  };
}

function countSupervised(rows: readonly TrainingRow[]): number {
  return rows.reduce((sum, row) => sum + supervisedTokens(row.labels), 0);
}

function isDue(step: number, every: number): boolean {
  return every > 0 && step % every === 0;
}

/** Someone asked to stop; thrown where no state is half-changed. */
class Stopped extends Problem {
  constructor() {
    super('stopped', 'Stopped before the end, as asked.', 'A training run has saved a checkpoint and can be resumed from it.');
  }
}

/** Lets messages arrive, which they cannot while a graph runs, and heeds a request to stop. */
async function stopHere(work: Pick<Training, 'stopRequested'>): Promise<void> {
  await macrotask();
  if (work.stopRequested()) throw new Stopped();
}

function requireFinite(value: number, what: string, step: number, rows: readonly TrainingRow[]): void {
  if (Number.isFinite(value)) return;
  throw new Problem(
    'loss-not-finite',
    `Step ${step + 1}: the ${what} is not a finite number. Rows: ${placesOf(rows)}.`,
    'Lower the learning rate or look at these rows; in the first step the model or the adapter may be damaged. Checkpoints are kept.',
  );
}

function placesOf(rows: readonly TrainingRow[]): string {
  const places = rows.slice(0, 4).map(({ file, line }) => `${file}, line ${line}`);
  return places.join('; ') + (rows.length > places.length ? ` and ${rows.length - places.length} more` : '');
}

/** The rows a non-finite loss comes from, or all of them when it is only the sum. */
function rowsNotFinite({ tokenLoss, tokenRow }: StepResult, rows: readonly TrainingRow[]): readonly TrainingRow[] {
  const bad = new Set<number>();
  tokenLoss.forEach((loss, i) => {
    if (!Number.isFinite(loss)) bad.add(tokenRow[i]!);
  });
  return bad.size === 0 ? rows : rows.filter((_, i) => bad.has(i));
}
