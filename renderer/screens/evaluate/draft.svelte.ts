/** Holds an evaluation that is being set up: the rows, who answers them, and how answers are scored. */
import type {
  Dataset,
  EvaluationPlan,
  EvaluationRequest,
  EvaluatorInfo,
  RowsRef,
  ShotsChoice,
  Split,
} from '../../../engine/contract.ts';
import { Asked } from '../../state/asked.svelte.ts';
import { plural } from '../../ui/format.ts';
import type { Studio } from '../../state/studio.svelte.ts';
import { choiceOf, contestantsOf, type EndpointFields, needsExamples, needsSchema, type Ticked } from './contestant-choice.ts';
import { type OptionTexts, optionFault, optionsOf, textsOf } from './option-texts.ts';

/** Names rows to choose: those of a split of a version. */
export interface RowsChoice {
  readonly key: string;
  readonly label: string;
  readonly rows: number;
  readonly ref: RowsRef;
}
export interface ChosenEvaluator {
  readonly name: string;
  /** Holds what is typed, by the name of the option. */
  readonly texts: OptionTexts;
}

const wholeFrom = (least: number, text: string): boolean => /^\d{1,9}$/.test(text.trim()) && Number(text) >= least;

export class EvaluationDraft {
  modelId = $state<string | null>(null);
  testKey = $state<string | null>(null);
  trainKey = $state<string | null>(null);
  validationKey = $state('');
  ticked = $state.raw<readonly Ticked[]>([]);
  shots = $state.raw<ShotsChoice>({ count: 3, rule: 'seed' });
  endpoint = $state.raw<EndpointFields | null>(null);
  evaluators = $state.raw<readonly ChosenEvaluator[]>([]);
  schemaFile = $state<string | null>(null);
  seed = $state('0');
  maxTokens = $state('');
  mostRows = $state('');
  general = $state(false);
  readonly plan = new Asked<EvaluationPlan>();
  /** Holds the request that the plan is of, as JSON. */
  plannedFor = $state<string | null>(null);
  #planning: AbortController | null = null;
  readonly #studio: Studio;

  constructor(studio: Studio) {
    this.#studio = studio;
  }

  /** Takes what the project suggests: its newest evaluation rows and its best adapter, or the request of another evaluation. */
  begin(from: EvaluationRequest | null, jsonAnswers: boolean): void {
    const adapters = this.#studio.adapters.list.items;
    const best = adapters.find(({ tag }) => tag === 'shipped') ?? adapters.find(({ tag }) => tag === 'best') ?? adapters[0];
    const models = this.#studio.models.list.items;
    this.modelId = models.find(({ id }) => id === best?.modelId)?.id ?? models[0]?.id ?? null;
    const adapter = best !== undefined && best.modelId === this.modelId ? best : undefined;
    const run = this.#studio.runs.list.find(adapter?.runId);
    const newest = this.testChoices.find(({ ref }) => 'versionId' in ref.data && ref.data.versionId === run?.versionId);
    this.testKey = (newest ?? this.testChoices[0])?.key ?? null;
    this.trainKey = this.#trainingOf(this.testKey);
    const prompted: Ticked[] = this.trainKey === null ? ['base'] : ['base', 'few-shot'];
    if (jsonAnswers && this.trainKey !== null) prompted.push('schema');
    this.ticked = adapter === undefined ? prompted : [...prompted, `adapter:${adapter.id}`];
    this.evaluators = (jsonAnswers ? ['json-values', 'json'] : ['exact-match', 'chrf']).map((name) => ({ name, texts: {} }));
    if (from !== null) this.#take(from);
  }

  #take(from: EvaluationRequest): void {
    const keyOf = (ref: RowsRef | undefined): string | null =>
      [...this.testChoices, ...this.trainChoices].find((one) => JSON.stringify(one.ref) === JSON.stringify(ref))?.key ?? null;
    const { ticked, shots, endpoint } = choiceOf(from);
    if ('id' in from.model) this.modelId = from.model.id;
    this.testKey = keyOf({ data: from.data, ...(from.split === undefined ? {} : { split: from.split }) }) ?? this.testKey;
    this.trainKey = keyOf(from.train);
    this.validationKey = keyOf(from.validation) ?? '';
    this.ticked = ticked.filter((one) => !one.includes(':') || this.adapters.some(({ id }) => one.endsWith(`:${id}`)));
    [this.shots, this.endpoint] = [shots, endpoint];
    this.evaluators = from.evaluators.map((one) =>
      typeof one === 'string' ? { name: one, texts: {} } : { name: one.name, texts: textsOf(one.options) },
    );
    this.schemaFile = from.schemaFile ?? null;
    this.seed = `${from.seed ?? 0}`;
    this.maxTokens = from.maxTokens === undefined ? '' : `${from.maxTokens}`;
    this.mostRows = from.mostRows === undefined ? '' : `${from.mostRows}`;
    this.general = from.general === true;
  }

  // ── What can be chosen ────────────────────────────────────────────────────────────────────────────────────────────────

  /** Lists the rows to answer: those held back first, and whole files without any, as files of test rows are. */
  get testChoices(): readonly RowsChoice[] {
    const { items } = this.#studio.datasets.list;
    const held = items.filter(({ version }) => version.evalRows > 0).map((one) => rowsOf(one, 'eval'));
    return [...held, ...items.filter(({ version }) => version.evalRows === 0).map((one) => rowsOf(one, 'train'))];
  }
  get trainChoices(): readonly RowsChoice[] {
    return this.#studio.datasets.list.items.filter(({ version }) => version.trainRows > 0).map((one) => rowsOf(one, 'train'));
  }
  get validationChoices(): readonly RowsChoice[] {
    return this.testChoices.filter(({ key }) => key !== this.testKey);
  }
  /** Lists the adapters of the chosen base; those of another do not fit. */
  get adapters() {
    return this.#studio.adapters.list.items.filter(({ modelId }) => modelId === this.modelId);
  }
  get infos(): readonly EvaluatorInfo[] {
    return this.#studio.evaluations.evaluators.value ?? [];
  }
  infoOf(name: string): EvaluatorInfo | undefined {
    return this.infos.find((info) => info.name === name);
  }

  /** Says that the rows to answer may have been trained on, because no data set holds rows back. */
  get noneHeldBack(): boolean {
    return this.testChoices.every(({ ref }) => ref.split !== 'eval');
  }

  // ── Choosing ──────────────────────────────────────────────────────────────────────────────────────────────────────────

  answer(key: string): void {
    this.testKey = key;
    this.trainKey = this.#trainingOf(key) ?? this.trainKey;
    if (this.validationKey === key) this.validationKey = '';
  }
  changeModel(id: string): void {
    this.modelId = id;
    const newest = this.adapters[0];
    this.ticked = [
      ...this.ticked.filter((one) => !one.includes(':')),
      ...(newest === undefined ? [] : [`adapter:${newest.id}` as const]),
    ];
  }
  tick(one: Ticked): void {
    this.ticked = this.ticked.includes(one) ? this.ticked.filter((other) => other !== one) : [...this.ticked, one];
  }
  tickEvaluator(name: string): void {
    const has = this.evaluators.some((one) => one.name === name);
    this.evaluators = has ? this.evaluators.filter((one) => one.name !== name) : [...this.evaluators, { name, texts: {} }];
  }
  /** Lets the verdict be by an evaluator, which is the first one. */
  decideBy(name: string): void {
    const first = this.evaluators.filter((one) => one.name === name);
    this.evaluators = [...first, ...this.evaluators.filter((one) => one.name !== name)];
  }
  setOption(name: string, option: string, text: string): void {
    this.evaluators = this.evaluators.map((one) =>
      one.name === name ? { name, texts: { ...one.texts, [option]: text } } : one,
    );
  }

  // ── What is wrong, and the request ────────────────────────────────────────────────────────────────────────────────────

  /** Says why it cannot be started, or is null. */
  get fault(): string | null {
    if (this.modelId === null) return 'Open a model first.';
    if (this.testKey === null) return 'Choose rows to answer.';
    if (this.ticked.length === 0 && this.endpoint === null) return 'Tick at least one contestant.';
    if (this.trainKey === null && needsExamples(this.ticked)) return 'Few-shot needs training rows to take its examples from.';
    if (this.trainKey === null && this.schemaFile === null && needsSchema(this.ticked))
      return 'A schema is learned from training rows. Choose some, or a file with a schema.';
    if (this.shots.count === 'auto' && needsExamples(this.ticked) && this.validationKey === '')
      return 'The number of examples is chosen on validation rows. Choose some.';
    if (this.endpoint !== null && !/^https?:\/\/\S+$/.test(this.endpoint.url.trim()))
      return 'The address of the endpoint begins with http:// or https://.';
    if (this.endpoint !== null && this.endpoint.model.trim() === '') return 'Name the model of the endpoint.';
    if (this.evaluators.length === 0) return 'Choose at least one evaluator.';
    if (this.trainKey === null && this.evaluators.some(({ name }) => this.infoOf(name)?.learns === true))
      return 'An evaluator learns from training rows. Choose some.';
    if (this.evaluators.some((one) => this.faultOf(one) !== null)) return 'An option of an evaluator is missing or wrong.';
    if (!wholeFrom(0, this.seed)) return 'The seed is a whole number from 0.';
    if (this.maxTokens !== '' && !wholeFrom(1, this.maxTokens)) return 'Max tokens is a whole number from 1, or empty.';
    if (this.mostRows !== '' && !wholeFrom(1, this.mostRows)) return 'The number of rows is a whole number from 1, or empty.';
    return null;
  }

  /** Says what is wrong with an option, with its name, or returns null. */
  faultOf({ name, texts }: ChosenEvaluator): { readonly option: string; readonly text: string } | null {
    for (const option of this.infoOf(name)?.options ?? []) {
      const text = optionFault(option, texts[option.name] ?? '');
      if (text !== null) return { option: option.name, text };
    }
    return null;
  }

  get request(): EvaluationRequest | null {
    const projectId = this.#studio.project.currentId;
    const test = this.testChoices.find(({ key }) => key === this.testKey);
    if (this.fault !== null || projectId === null || this.modelId === null || test === undefined) return null;
    const train = this.trainChoices.find(({ key }) => key === this.trainKey);
    const validation = this.validationChoices.find(({ key }) => key === this.validationKey);
    return {
      ...{ projectId, model: { id: this.modelId }, ...test.ref },
      ...(train === undefined ? {} : { train: train.ref }),
      ...(validation === undefined ? {} : { validation: validation.ref }),
      contestants: contestantsOf(this),
      evaluators: this.evaluators.map(({ name, texts }) => {
        const options = optionsOf(this.infoOf(name)?.options ?? [], texts);
        return Object.keys(options).length === 0 ? name : { name, options };
      }),
      ...(this.schemaFile === null ? {} : { schemaFile: this.schemaFile }),
      seed: Number(this.seed),
      ...(this.maxTokens === '' ? {} : { maxTokens: Number(this.maxTokens) }),
      ...(this.mostRows === '' ? {} : { mostRows: Number(this.mostRows) }),
      ...(this.general ? { general: true } : {}),
    };
  }

  /** Says whether the plan is of what is chosen now. */
  get isPlanned(): boolean {
    return this.plan.value !== null && this.plannedFor === JSON.stringify(this.request);
  }

  async measure(): Promise<void> {
    const { request } = this;
    if (request === null || this.plan.pending) return;
    const cancel = (this.#planning = new AbortController());
    this.plannedFor = JSON.stringify(request);
    await this.plan.ask(() => this.#studio.evaluations.plan(request, { signal: cancel.signal }));
    if (cancel.signal.aborted) this.plan.clear();
  }
  stopMeasuring(): void {
    this.#planning?.abort();
  }

  #trainingOf(testKey: string | null): string | null {
    const test = this.testChoices.find(({ key }) => key === testKey);
    const own = this.trainChoices.find(({ ref }) => test !== undefined && test.ref.split === 'eval' && sameData(ref, test.ref));
    return own?.key ?? null;
  }
}

function sameData(a: RowsRef, b: RowsRef): boolean {
  return JSON.stringify(a.data) === JSON.stringify(b.data);
}

function rowsOf({ name, version }: Dataset, split: Split): RowsChoice {
  const rows = split === 'eval' ? version.evalRows : version.trainRows;
  return { key: `${version.id} ${split}`, label: name, rows, ref: { data: { versionId: version.id }, split } };
}

/** Says how many rows a choice has, and whether they were held back. */
export function rowsDetail({ rows, ref }: RowsChoice): string {
  return `${plural(rows, 'row')} ${ref.split === 'eval' ? 'held back' : 'to train on'}`;
}
