import type {
  DataCheck,
  DataReport,
  Dataset,
  FittedRecipe,
  Model,
  Run,
  RunPlan,
  TargetInfo,
  TargetPlan,
} from '../../../engine/contract.ts';
import {
  defaultRecipe,
  type Recipe,
  type RecipeInput,
  rowSettingKeys,
  rowSettings,
  type RowSettings,
} from '../../../engine/recipe.ts';
import { checkRecipe } from '../../../engine/recipe/check.ts';
import { parseFieldText } from '../../../engine/recipe/field-text.ts';
import { checkField } from '../../../engine/recipe/field.ts';
import { recipeFields, type RecipeKey, recipeKeys } from '../../../engine/recipe/fields.ts';
import { Asked } from '../../state/asked.svelte.ts';
import type { Studio } from '../../state/studio.svelte.ts';
import { inputText } from './field-text.ts';
import { fullLearningRate, methodOf, type Method } from './methods.ts';
import { presets, type Preset } from './presets.ts';
import { attention, choiceOf, keyOf, nameOf, type ShownMatrix } from './targets.ts';

type Values = { readonly [K in RecipeKey]: unknown };
/**
 * Holds a row of the table of patterns, which gives the modules of one name another rank or alpha. An empty value leaves the
 * common one.
 */
export interface PatternRow {
  readonly name: string;
  readonly rank: string;
  readonly alpha: string;
}

/** Holds a run before it is started: what is chosen, what is typed, and what that would cost. */
export class Draft {
  modelId = $state<string | null>(null);
  datasetId = $state<string | null>(null);
  adapterId = $state<string | null>(null);
  name = $state('');
  /** Trains without the rows that cannot be used. */
  leaveOut = $state(false);
  /** Names the matrix a person wants to see. Another one is shown where it has no adapter. */
  shownKey = $state<string | null>(null);
  presetId = $state<Preset['id']>('json');
  /** Holds the fields as typed. A text that is not valid stays there with its error. */
  texts = $state<Record<string, string>>({});
  /** Holds `rankPattern` and `alphaPattern` as one table. */
  patterns = $state.raw<readonly PatternRow[]>([]);
  readonly targets = new Asked<TargetPlan>();
  readonly plan = new Asked<RunPlan>();
  readonly report = new Asked<DataReport>();
  readonly #studio: Studio;
  #rank = 1;
  /** Identifies what `targets` was computed for. */
  #targetsOf: string | null = null;
  #isClosed = false;

  constructor(studio: Studio) {
    this.#studio = studio;
    this.choosePreset('json');
  }

  readonly values: Values = $derived.by(() => {
    const typed = recipeKeys.map((key) => [key, parseFieldText(key, this.texts[key] ?? '')]);
    return {
      ...(Object.fromEntries(typed) as Values),
      rankPattern: this.#pattern('rank'),
      alphaPattern: this.#pattern('alpha'),
    };
  });
  readonly errors: Readonly<Partial<Record<RecipeKey, string>>> = $derived.by(() => {
    const found: Partial<Record<RecipeKey, string>> = {};
    for (const key of recipeKeys) {
      const message = checkField(recipeFields[key].label, recipeFields[key], this.values[key]);
      if (message !== null) found[key] = message;
    }
    if (Object.keys(found).length > 0) return found;
    const checked = checkRecipe(this.values);
    for (const { key, message } of 'errors' in checked ? checked.errors : []) found[key as RecipeKey] = message;
    return found;
  });
  /** Returns the recipe, or null while something typed is not valid. */
  readonly recipe: Recipe | null = $derived(Object.keys(this.errors).length === 0 ? (this.values as Recipe) : null);
  /** Returns what the recipe says about the adapter, as far as it is valid. */
  readonly adapterPart: RecipeInput = $derived(
    Object.fromEntries(
      recipeKeys
        .filter((key) => recipeFields[key].group === 'adapter' && this.errors[key] === undefined)
        .map((key) => [key, this.values[key]]),
    ),
  );
  readonly modules: readonly TargetInfo[] = $derived(this.targets.value?.modules ?? []);

  /** Returns the modules that get an adapter. */
  readonly adapted: readonly TargetInfo[] = $derived(this.modules.filter(({ ranks }) => ranks.some((one) => one > 0)));
  /** Returns the matrix in the picture, with the rank and scale of the first layer where it has an adapter. */
  readonly shown: ShownMatrix | null = $derived.by(() => {
    const module = this.adapted.find((one) => keyOf(one) === this.shownKey) ?? this.adapted[0];
    if (module === undefined) return null;
    const at = module.ranks.findIndex((one) => one > 0);
    return { ...module, name: nameOf(module.path), rank: module.ranks[at]!, scale: module.scales[at]! };
  });

  readonly blocking: readonly DataCheck[] = $derived(this.#checks('blocking'));
  readonly warnings: readonly DataCheck[] = $derived(this.#checks('warning'));
  /** Returns whether rows are left to train on without the broken ones, and the files are those of the version. */
  readonly canLeaveOut: boolean = $derived(
    (this.report.value?.trainedTokens ?? 0) > 0 && this.report.value?.changed.length === 0,
  );
  /** Returns why the run may not start, or null when it may. */
  readonly obstacle: string | null = $derived.by(() => {
    if (this.model() === null) return 'Choose a model first.';
    if (this.dataset === null) return 'Choose a data set first.';
    const wrong = Object.values(this.errors)[0];
    if (wrong !== undefined) return wrong;
    if (this.plan.problem?.code === 'recipe-invalid') return this.plan.problem.message;
    const [first] = this.blocking;
    if (first !== undefined && !(this.leaveOut && this.canLeaveOut))
      return `Not all of the data can be trained on: ${first.title}.`;
    return null;
  });

  /** Starts the run. Returns null when something is missing. */
  async start(): Promise<Run | null> {
    const { modelId, dataset, recipe } = this;
    if (this.obstacle !== null || modelId === null || dataset === null || recipe === null) return null;
    const projectId = this.#studio.project.currentId;
    return this.#studio.runs.start({
      ...(projectId === null ? {} : { projectId }),
      name: this.name.trim() === '' ? this.suggestedName : this.name.trim(),
      model: { id: modelId },
      data: { versionId: dataset.version.id },
      ...(this.adapterId === null ? {} : { adapter: { id: this.adapterId } }),
      recipe,
      skipBadRows: this.leaveOut,
    });
  }

  get dataset(): Dataset | null {
    return this.#studio.datasets.list.find(this.datasetId);
  }

  model(): Model | null {
    return this.#studio.models.list.find(this.modelId);
  }

  choosePreset(id: Preset['id']): void {
    this.presetId = id;
    this.take(Object.fromEntries(recipeKeys.map((key) => [key, this.standard(key)])));
  }

  chooseMethod({ id, values }: Method): void {
    const before = methodOf(this.values)?.id;
    this.take(values);
    // Fields that are not visible must not block the run.
    if (id === 'full')
      for (const key of recipeKeys.filter((key) => recipeFields[key].group === 'adapter' && this.errors[key] !== undefined))
        this.reset(key);
    if (id === 'full' && !this.changed('learningRate')) this.take({ learningRate: fullLearningRate });
    else if (before === 'full' && this.values.learningRate === fullLearningRate) this.reset('learningRate');
  }

  /** Returns the value a field has in the chosen preset, which `changed` compares with. */
  standard(key: RecipeKey): unknown {
    const preset = presets.find(({ id }) => id === this.presetId);
    if (key === 'targetModules' && preset?.attentionOnly === true && this.modules.length > 0) return attention(this.modules);
    return preset?.values[key] ?? recipeFields[key].default;
  }

  changed(key: RecipeKey): boolean {
    return JSON.stringify(this.values[key]) !== JSON.stringify(this.standard(key));
  }

  reset(key: RecipeKey): void {
    this.take({ [key]: this.standard(key) });
  }

  /** Types a value. Alpha keeps its ratio to the last valid rank, so that the scale s stays while the rank is typed. */
  type(key: RecipeKey, text: string): void {
    const alpha = this.values.alpha;
    this.texts[key] = text;
    if (key !== 'rank' || this.errors.rank !== undefined) return;
    const rank = this.values.rank as number;
    if (typeof alpha === 'number') this.texts.alpha = inputText(Number(((alpha / this.#rank) * rank).toPrecision(6)));
    this.#rank = rank;
  }

  take(values: RecipeInput): void {
    for (const key of recipeKeys) if (key in values) this.texts[key] = inputText(values[key]);
    if (typeof values.rank === 'number') this.#rank = values.rank;
    if ('rankPattern' in values || 'alphaPattern' in values) {
      const { rankPattern, alphaPattern } = { ...this.values, ...values } as Recipe;
      const text = (value: number | undefined): string => (value === undefined ? '' : inputText(value));
      this.patterns = [...new Set([...Object.keys(rankPattern), ...Object.keys(alphaPattern)])].map((name) => ({
        name,
        rank: text(rankPattern[name]),
        alpha: text(alphaPattern[name]),
      }));
    }
  }

  /** Copies what another run was made with. */
  copy(run: Run): void {
    this.presetId = 'custom';
    this.modelId = run.modelId;
    this.datasetId = run.datasetId;
    this.name = `${run.name}-2`;
    this.take({ ...defaultRecipe(), ...run.recipe });
  }

  /** Takes a recipe that was kept as JSON while another screen was shown. One that cannot be read changes nothing. */
  returnTo(recipe: string): void {
    try {
      this.take(JSON.parse(recipe) as RecipeInput);
      this.presetId = 'custom';
    } catch {
      // Somebody changed the address.
    }
  }

  /** Ends the draft when its screen is gone: answers on their way change nothing any more. */
  close(): void {
    this.#isClosed = true;
  }

  /** Asks which modules the model has and which would be trained. Names of another family are not kept for a new model. */
  async askTargets(): Promise<void> {
    const { modelId, adapterPart } = this;
    const isNew = modelId !== this.#targetsOf;
    const isOwn = this.changed('targetModules');
    this.#targetsOf = modelId;
    if (isNew) this.targets.clear();
    if (modelId === null) return;
    await this.targets.ask(() => this.#studio.models.targets(modelId, adapterPart));
    if (this.#isClosed || !isNew || this.modules.length === 0 || this.modelId !== modelId) return;
    const targets = this.values.targetModules as Recipe['targetModules'];
    const isForeign = Array.isArray(targets) && choiceOf(targets, this.modules) === 'pattern';
    if (!isOwn || isForeign) this.reset('targetModules');
  }

  async askPlan(): Promise<void> {
    const [modelId, dataset, recipe] = [this.modelId, this.dataset, this.recipe];
    if (modelId === null || dataset === null || recipe === null) return this.plan.clear();
    await this.plan.ask(() => this.#studio.runs.plan(modelId, dataset.version.id, recipe));
  }

  async askReport(): Promise<void> {
    const [modelId, dataset, maxLength] = [this.modelId, this.dataset, this.values.maxLength];
    if (modelId === null || dataset === null || typeof maxLength !== 'number' || this.errors.maxLength !== undefined)
      return this.report.clear();
    if ([...rowSettingKeys, 'date' as const].some((key) => this.errors[key] !== undefined)) return this.report.clear();
    const { date } = this.values;
    const reading = { rowSettings: rowSettings(this.values as RowSettings), ...(date === '' ? {} : { day: String(date) }) };
    await this.report.ask(() => this.#studio.datasets.report(dataset, modelId, 'train', maxLength, reading));
  }

  /** Asks what would have to change for a run of at most `budget` bytes. */
  fit(budget: number): Promise<FittedRecipe> {
    const [modelId, dataset, recipe] = [this.modelId, this.dataset, this.recipe];
    if (modelId === null || dataset === null || recipe === null) throw new Error('nothing is chosen yet');
    return this.#studio.runs.fit({ model: { id: modelId }, data: { versionId: dataset.version.id }, recipe, budget });
  }

  /** Makes a name from what the run is: `json-r16-all`. */
  readonly suggestedName: string = $derived.by(() => {
    const method = methodOf(this.values)?.id ?? 'mix';
    if (method === 'full') return `${this.presetId}-full`;
    const targets = this.values.targetModules as Recipe['targetModules'];
    const choice = choiceOf(targets, this.modules);
    const which =
      choice === 'ticks' && targets.length <= mostNamesInName
        ? (targets as readonly string[]).map((name) => name.replace(/_proj$/, '').replace(/^.*\./, '')).join('')
        : { all: 'all', attention: 'attention', qv: 'qv', ticks: 'some', pattern: 'some' }[choice];
    return [this.presetId, ...(method === 'lora' ? [] : [method]), `r${String(this.values.rank)}`, which].join('-');
  });

  #checks(severity: DataCheck['severity']): readonly DataCheck[] {
    return this.report.value?.checks.filter((check) => check.severity === severity) ?? [];
  }

  #pattern(of: 'rank' | 'alpha'): Record<string, number> {
    const given = this.patterns.filter((row) => row.name !== '' && row[of] !== '');
    return Object.fromEntries(given.map((row) => [row.name, Number(row[of])]));
  }
}

const mostNamesInName = 3;

/** Returns the bytes that a plan needs in all. */
export const needed = (plan: RunPlan): number => Object.values(plan.memory).reduce((sum, part) => sum + part, 0);
