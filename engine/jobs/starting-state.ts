/** Decides where a run begins: its recipe, and its adapter with the state of the optimizer. */
import { basename } from 'node:path';
import type { Adapter } from '../adapters/adapter.ts';
import { adapterKeys } from '../adapters/config.ts';
import { newAdapter } from '../adapters/initial.ts';
import { loftqAdapter } from '../adapters/loftq.ts';
import type { OpenModel } from '../models/open.ts';
import { Problem } from '../problem.ts';
import type { Recipe, RecipeInput } from '../recipe.ts';
import { givenFields, requireRecipe } from '../recipe/check.ts';
import { cpuThreads } from '../runtime/devices.ts';
import { openSession } from '../runtime/session.ts';
import { loadCheckpoint, newestCheckpoint, type TrainingState } from '../training/checkpoint.ts';
import { newAdamState } from '../training/optimizer.ts';
import { resumedPlan, type ComputePlan } from '../training/compute-plan.ts';
import { principalAdapter } from '../training/principal.ts';
import { runIdentity } from './run-identity.ts';
import type { JobPort } from './port.ts';
import { progressReporter } from './progress.ts';
import type { RunRecord } from './run-folder.ts';
import type { RunWriter } from './run-writer.ts';

/**
 * Lists the settings that may change when a run is resumed: how long it goes and how often it reports, not what it computes.
 */
const changeable = ['epochs', 'maxSteps', 'evalEvery', 'saveEvery', 'keepCheckpoints'] as const;

/** Returns the recipe that a resumed run continues with. A setting that would compute something else is refused. */
export function resumedRecipe({ recipe: earlier, startedFrom }: RunRecord, input: RecipeInput): Recipe {
  // An adapter that training continues from has decided the shape, whatever the recipe says.
  const free: readonly string[] = startedFrom === null ? changeable : [...changeable, ...adapterKeys];
  const [before, now] = [requireRecipe(earlier), requireRecipe(input)];
  const given = givenFields(input, now);
  const changed = (Object.keys(given) as (keyof Recipe)[]).find(
    (key) => !free.includes(key) && JSON.stringify(given[key]) !== JSON.stringify(before[key]),
  );
  if (changed !== undefined)
    throw new Problem(
      'recipe-invalid',
      `The run was started with a different '${changed}': ${JSON.stringify(before[changed])}, not ${JSON.stringify(given[changed])}.`,
      `Resume it without this setting. Only ${changeable.join(', ')} may change.`,
    );
  const adopted = Object.entries(given).filter(([key]) => (changeable as readonly string[]).includes(key));
  return requireRecipe({ ...earlier, ...Object.fromEntries(adopted) });
}

export interface Start {
  readonly start: TrainingState;
  /** Says why the bits may differ from those of a run that was never interrupted. */
  readonly notExact: readonly string[];
  /** Says what a person should know of how it is resumed, in sentences. */
  readonly notes: readonly string[];
}

/** Holds the base that is trained on, and the same base before it was quantized. */
interface Bases {
  readonly model: OpenModel;
  readonly whole: OpenModel;
  /** Holds the adapter that is trained further, or null for a new one. */
  readonly first: Adapter | null;
}

/** Finds the state that the run begins with: that of its newest checkpoint, the adapter it was given, or a new adapter. */
export async function startingState(
  cacheDir: string,
  recipe: Recipe,
  here: ComputePlan,
  bases: Bases,
  { folder, earlier }: { readonly folder: RunWriter; readonly earlier: RunRecord | null },
  port: JobPort,
): Promise<Start> {
  const found = earlier && newestCheckpoint(folder.checkpoints, runIdentity(earlier));
  const named = (paths: readonly string[] = []) => paths.map((path) => basename(path)).join(', ');
  const [damaged, ofAnother] = [named(found?.damaged), named(found?.ofAnother)];
  if (found?.whole != null) {
    const start = loadCheckpoint(found.whole, bases.model);
    const { plan, notExact, notes } = resumedPlan(start.plan, here);
    const said = [
      ...(damaged === '' ? [] : [`Skipped damaged checkpoints: ${damaged}.`]),
      ...(ofAnother === '' ? [] : [`Skipped checkpoints of another run: ${ofAnother}.`]),
      `Continuing from the checkpoint of step ${start.step}.`,
      ...notes,
      ...(notExact.length === 0
        ? []
        : [`The result may differ in its last digits from an uninterrupted run: ${notExact.join('; ')}.`]),
    ];
    return { start: { ...start, plan }, notExact, notes: said };
  }
  const unusable = [damaged && `damaged (${damaged})`, ofAnother && `of another run (${ofAnother})`]
    .filter(Boolean)
    .join(' or ');
  const startsOver = unusable === '' ? 'There is no checkpoint yet' : `Every checkpoint is ${unusable}`;
  const adapter = await firstAdapter(cacheDir, recipe, bases, port);
  return {
    start: { step: 0, seconds: 0, adapter, adam: newAdamState(adapter.parameters.length), plan: here },
    notExact: [],
    notes: found === null ? [] : [`${startsOver}, so the run starts over from its first step.`],
  };
}

async function firstAdapter(cacheDir: string, recipe: Recipe, { model, whole, first }: Bases, port: JobPort): Promise<Adapter> {
  const base = model.info.name;
  // The dropout rate belongs to the training, not to the adapter.
  if (first !== null) return { ...first, config: { ...first.config, dropout: recipe.dropout, base } };
  const adapter = newAdapter(recipe, model, base);
  const { method, initialization, seed } = recipe;
  if (method === 'full' || !/^(pissa|olora|loftq)/.test(initialization)) return adapter;
  const onModule = progressReporter(port, 'Decomposing the matrices', 'matrices');
  if (initialization === 'loftq') return loftqAdapter(adapter, model.spec, whole.weights, model.weights, { seed, onModule });
  return principalAdapter(adapter, model, {
    ...{ initialization, seed, cacheDir, openSession, onModule },
    threads: cpuThreads(),
  });
}
