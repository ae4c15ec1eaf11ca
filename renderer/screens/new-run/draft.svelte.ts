import type { DataReport, Model, Run, RunPlan } from '../../../engine/contract.ts';
import {
  checkField,
  defaultRecipe,
  parseFieldText,
  recipeFields,
  type Recipe,
  type RecipeInput,
  type RecipeKey,
  recipeKeys,
} from '../../../engine/recipe.ts';
import { Asked } from '../../state/asked.svelte.ts';
import type { Studio } from '../../state/studio.svelte.ts';
import { inputText } from './field-text.ts';
import { presets, type Preset } from './presets.ts';

type Values = { readonly [K in RecipeKey]: unknown };

/** A run before it is started: what is chosen, what is typed, what that would cost. */
export class Draft {
  modelId = $state<string | null>(null);
  datasetId = $state<string | null>(null);
  adapterId = $state<string | null>(null);
  name = $state('');
  presetId = $state<Preset['id']>('json');
  /** As typed; a text that does not fit stays there with its error. */
  texts = $state<Record<string, string>>({});
  /** What is not typed but chosen. */
  targetModules = $state.raw<Recipe['targetModules']>('all-linear');
  readonly plan = new Asked<RunPlan>();
  readonly report = new Asked<DataReport>();
  readonly #studio: Studio;
  #rank = 1;

  constructor(studio: Studio) {
    this.#studio = studio;
    this.choosePreset('json');
  }

  readonly values: Values = $derived.by(() => {
    const typed = recipeKeys.map((key) => [
      key,
      key === 'targetModules' ? this.targetModules : parseFieldText(key, this.texts[key] ?? ''),
    ]);
    return Object.fromEntries(typed) as Values;
  });
  readonly errors: Readonly<Partial<Record<RecipeKey, string>>> = $derived.by(() => {
    const found: Partial<Record<RecipeKey, string>> = {};
    for (const key of recipeKeys) {
      const message = checkField(recipeFields[key].label, recipeFields[key], this.values[key]);
      if (message !== null) found[key] = message;
    }
    return found;
  });
  /** Null while something typed does not fit. */
  readonly recipe: Recipe | null = $derived(Object.keys(this.errors).length === 0 ? (this.values as Recipe) : null);

  model(): Model | null {
    return this.#studio.models.list.find(this.modelId);
  }

  choosePreset(id: Preset['id']): void {
    this.presetId = id;
    this.take({ ...defaultRecipe(), ...presets.find((preset) => preset.id === id)?.values });
  }

  /** The value a field has in the chosen preset: what `changed` is measured against. */
  standard(key: RecipeKey): unknown {
    const preset = presets.find(({ id }) => id === this.presetId);
    return preset?.values[key] ?? recipeFields[key].default;
  }

  changed(key: RecipeKey): boolean {
    return JSON.stringify(this.values[key]) !== JSON.stringify(this.standard(key));
  }

  reset(key: RecipeKey): void {
    this.take({ [key]: this.standard(key) });
  }

  /** Types a value; alpha keeps its ratio to the last rank that fitted, so that the scale s does not move under the hand. */
  type(key: RecipeKey, text: string): void {
    const alpha = this.values.alpha;
    this.texts[key] = text;
    if (key !== 'rank' || this.errors.rank !== undefined) return;
    const rank = this.values.rank as number;
    if (typeof alpha === 'number') this.texts.alpha = inputText(Number(((alpha / this.#rank) * rank).toPrecision(6)));
    this.#rank = rank;
  }

  take(values: RecipeInput): void {
    for (const key of recipeKeys) {
      if (!(key in values)) continue;
      if (key === 'targetModules') this.targetModules = values[key] as Recipe['targetModules'];
      else this.texts[key] = inputText(values[key]);
    }
    if (typeof values.rank === 'number') this.#rank = values.rank;
  }

  /** Starts from what another run was made with. */
  copy(run: Run): void {
    this.presetId = 'custom';
    this.modelId = run.modelId;
    this.datasetId = run.datasetId;
    this.name = `${run.name}-2`;
    this.take(run.recipe);
  }

  async askPlan(): Promise<void> {
    const [modelId, datasetId, recipe] = [this.modelId, this.datasetId, this.recipe];
    if (modelId === null || datasetId === null || recipe === null) return this.plan.clear();
    await this.plan.ask(() => this.#studio.runs.plan(modelId, datasetId, recipe));
  }

  async askReport(): Promise<void> {
    const [modelId, datasetId, maxLength] = [this.modelId, this.datasetId, this.values.maxLength];
    if (modelId === null || datasetId === null || typeof maxLength !== 'number' || this.errors.maxLength !== undefined)
      return this.report.clear();
    await this.report.ask(() => this.#studio.datasets.report(datasetId, modelId, 'train', maxLength));
  }

  /** Halves the batch and doubles the accumulation until the plan fits; null when even single rows do not. */
  async findFit(): Promise<Recipe | null> {
    const [modelId, datasetId] = [this.modelId, this.datasetId];
    let recipe = this.recipe;
    while (modelId !== null && datasetId !== null && recipe !== null && recipe.batchSize > 1) {
      const rows: number = recipe.batchSize * recipe.gradientAccumulation;
      const batchSize: number = Math.floor(recipe.batchSize / 2);
      recipe = { ...recipe, batchSize, gradientAccumulation: Math.ceil(rows / batchSize) };
      const plan = await this.#studio.runs.plan(modelId, datasetId, recipe);
      if (needed(plan) <= plan.memoryFree) return recipe;
    }
    return null;
  }

  /** A name from what the run is: `json-r16-all`. */
  readonly suggestedName: string = $derived.by(() => {
    const names = this.targetModules;
    const all = names === 'all-linear' || names.length === this.model()?.linears.length;
    const which = all ? 'all' : typeof names === 'string' ? 'some' : names.map((name) => name.replace('_proj', '')).join('');
    return `${this.presetId}-r${String(this.values.rank)}-${which}`;
  });
}

/** Bytes a plan needs in all. */
export const needed = (plan: RunPlan): number =>
  plan.memory.base + plan.memory.adapter + plan.memory.activations + plan.memory.logits;
