/** Runs the training loop: everything that happens between the first step and the last, one line each. */
import type { EvalMetrics, StepMetrics } from '../contract.ts';
import { partLoss, type Measures } from '../measures.ts';
import type { Recipe } from '../recipe.ts';
import { evaluateExamples, type ExamplesLoss } from './evaluation.ts';
import { sequencesOf, supervisedOf, type Example } from './examples.ts';
import { adamwUpdate, clipByNorm, globalNorm, type AdamState, type ParameterGroup } from './optimizer.ts';
import { ExampleOrder, totalExamples } from './order.ts';
import { Stopped } from './pass.ts';
import { learningRate } from './schedule.ts';
import { notFinite, stepGradient, type ObjectiveStep } from './step-gradient.ts';
import type { TrainStep } from './step.ts';

/** Describes a run to the training loop. `parameters` and `adam` are updated in place. */
export interface Training extends ObjectiveStep {
  readonly step: Pick<TrainStep, 'prepare' | 'gradient' | 'score' | 'evaluate'>;
  readonly recipe: Recipe;
  readonly examples: readonly Example[];
  readonly evalExamples: readonly Example[];
  /** Lists the names of the parts of a mix. It is left out where the data is not a mix. */
  readonly partNames?: readonly string[];
  /** Lists the parts of the parameters that have other learning rates. If it is left out, all parameters have one. */
  readonly groups?: readonly ParameterGroup[];
  readonly adam: AdamState;
  /** Gives the number of steps made so far: 0, or that of the checkpoint from which the run is resumed. */
  readonly stepsDone: number;
  readonly totalSteps: number;
  /** Says whether the evaluation after `stepsDone` steps is already known. */
  readonly evaluated: boolean;
  onStep(metrics: StepMetrics): void;
  onEvaluating(examplesDone: number): void;
  /** `losses` are those of the evaluated examples, in their order. */
  onEvaluation(metrics: EvalMetrics, losses: ExamplesLoss['examples']): void;
  /** Saves the current state, which is the state after `step` steps. */
  save(step: number): void;
}

/**
 * Trains to the last step. Parameters change only once per step, when the gradients of all its micro-batches have been
 * computed. So a stop or a failure at any moment leaves the state after the last whole step, and a resumed run repeats the same
 * steps.
 */
export async function train(training: Training): Promise<void> {
  const { recipe, examples, evalExamples, parameters, adam, totalSteps } = training;
  const order = new ExampleOrder(examples, recipe, totalExamples(recipe, examples.length));

  for (let step = training.stepsDone; ; step++) {
    const isStart = step === training.stepsDone;
    const isEnd = step === totalSteps;
    try {
      if (evalExamples.length > 0 && (isEnd || isDue(step, recipe.evalEvery)) && !(isStart && training.evaluated)) {
        const {
          loss,
          parts,
          examples: losses,
        } = await evaluateExamples(evalExamples, {
          ...training,
          onProgress: training.onEvaluating,
        });
        const measures = partLosses(parts, training.partNames ?? []);
        training.onEvaluation({ step, evalLoss: loss, ...(Object.keys(measures).length > 0 && { measures }) }, losses);
      }
      if (!isStart && (isEnd || isDue(step, recipe.saveEvery))) training.save(step);
      if (isEnd) return;

      await training.step.prepare();
      const started = performance.now();
      const taken = order.examplesOf(step);
      const { loss, measures, gradient } = await stepGradient(training, taken, step);
      requireFinite(loss, 'loss', step, taken);
      const gradientNorm = globalNorm(gradient);
      requireFinite(gradientNorm, 'gradient', step, taken);
      const rate = learningRate(recipe, step, totalSteps);
      clipByNorm(gradient, gradientNorm, recipe.maxGradientNorm);
      adamwUpdate(parameters, gradient, adam, rate, recipe, training.groups);
      requireFinite(globalNorm(parameters), 'size of the updated adapter', step, taken);

      training.onStep({
        step: step + 1,
        loss,
        learningRate: rate,
        gradientNorm,
        supervisedTokens: supervisedOf(taken),
        tokens: [...sequencesOf(taken)].reduce((sum, { inputIds }) => sum + inputIds.length, 0),
        seconds: (performance.now() - started) / 1000,
        memory: process.resourceUsage().maxRSS * 1024,
        epoch: order.epochsAfter(step + 1),
        ...(Object.keys(measures).length === 0 ? {} : { measures }),
      });
    } catch (error) {
      if (error instanceof Stopped) training.save(step);
      throw error;
    }
  }
}

/** Returns the loss of each part of a mix as a measure; nothing where the whole is one part. */
function partLosses(parts: ReadonlyMap<number, number>, names: readonly string[]): Measures {
  if (parts.size < 2) return {};
  return Object.fromEntries([...parts].map(([part, loss]) => [partLoss(names[part]!), loss]));
}

function isDue(step: number, every: number): boolean {
  return every > 0 && step % every === 0;
}

function requireFinite(value: number, what: string, step: number, examples: readonly Example[]): void {
  if (!Number.isFinite(value)) throw notFinite(what, step, examples);
}
