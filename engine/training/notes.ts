/** Writes the notes about a run that does not do all that its recipe seems to say; each note is a sentence. */
import { contextOf, type PositionsSpec } from '../models/positions.ts';
import type { Recipe, RecipeInput } from '../recipe.ts';
import { ownNames } from '../recipe/own-names.ts';
import type { DecoderSpec } from '../models/spec.ts';
import { longestSequence, type Example } from './examples.ts';
import { examplesPerStep, totalExamples, totalSteps } from './order.ts';
import { adapterShape, type Adapter } from '../adapters/adapter.ts';
import { adapterKeys, adapterRecipe, type AdapterConfig } from '../adapters/config.ts';
import { learningRate, warmupOf } from './schedule.ts';

/** Returns the notes about a recipe that trains on `rows` rows: about its learning rate, its warm-up and its last step. */
export function recipeNotes(recipe: Recipe, rows: number): string[] {
  const steps = totalSteps(recipe, rows);
  return [...rateNotes(recipe, steps), ...lengthNotes(recipe, rows, steps)];
}

function rateNotes(recipe: Recipe, steps: number): string[] {
  const { learningRate: rate, warmupRatio } = recipe;
  if (rate === 0) return ['The learning rate is 0: nothing will be learned.'];
  const warmup = warmupOf(recipe, steps);
  if (warmup < steps) return [];
  if (steps === 1)
    return [
      `Nothing will be learned: the warm-up of ${counted(warmup, 'step')} begins at a learning rate of 0, and the run has no second step. ${warmupRatio > 0 ? 'Set warmupRatio and warmupSteps' : 'Set warmupSteps'} to 0, or train for longer.`,
    ];
  const most = Number(learningRate(recipe, steps - 1, steps).toPrecision(3));
  return [
    `The warm-up of ${counted(warmup, 'step')} does not end within the run of ${steps}: the learning rate rises to ${most} and never reaches ${rate}. Lower ${warmupRatio > 0 ? 'warmupRatio' : 'warmupSteps'}, or train for longer.`,
  ];
}

function lengthNotes(recipe: Recipe, rows: number, steps: number): string[] {
  const [full, total] = [examplesPerStep(recipe), totalExamples(recipe, rows)];
  const last = total - (steps - 1) * full;
  if (total < full)
    return [`The one step takes ${counted(total, 'row')}, though batchSize and gradientAccumulation let it take ${full}.`];
  if (full > rows)
    return [`Every step takes ${full} rows of ${rows}: some more than once. Lower batchSize or gradientAccumulation.`];
  return last < full ? [`The last step takes ${counted(last, 'row')}, every other ${full}.`] : [];
}

/** Returns the note about settings given for an adapter that exists already, when they would make it another adapter. */
export function givenAdapterNotes(input: RecipeInput, { config, shape }: Adapter, spec: DecoderSpec): string[] {
  const { fields, givenAs } = ownNames(input);
  const own = adapterRecipe(config);
  const contrary = adapterKeys.filter((key) => Object.hasOwn(fields, key) && !makes({ ...config, [key]: fields[key] }));
  const kept = contrary.map(
    (key) => `${givenAs.get(key) ?? key} is ${JSON.stringify(own[key])}, not ${JSON.stringify(fields[key])}`,
  );
  const { initialization = 'default' } = fields;
  if (initialization !== 'default')
    kept.push(`its values are its own, not those of initialization ${JSON.stringify(initialization)}`);
  return kept.length === 0
    ? []
    : [`The adapter that training goes on from decides, whatever the recipe says: ${kept.join('; ')}.`];

  // The same modules can be named in many ways.
  function makes(changed: AdapterConfig): boolean {
    try {
      return JSON.stringify(adapterShape(changed, spec)) === JSON.stringify(shape);
    } catch {
      return false;
    }
  }
}

/** Returns the note that counts the examples longer than the context length of the model, in tokens. */
export function contextNotes(spec: PositionsSpec, examples: readonly Example[]): string[] {
  const context = contextOf(spec);
  const beyond = examples.filter(({ sequences }) => sequences.some(({ inputIds }) => inputIds.length > context)).length;
  if (beyond === 0) return [];
  return [
    `${counted(beyond, 'row')} of ${examples.length} ${beyond === 1 ? 'is' : 'are'} longer than the ${context} tokens the model was made for, the longest ${longestSequence(examples)}: it may have learned nothing of such positions.`,
  ];
}

function counted(count: number, what: string): string {
  return `${count} ${what}${count === 1 ? '' : 's'}`;
}
