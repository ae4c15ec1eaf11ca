/** Holds the state of the screen of data sets: what is looked at, and what is asked of the engine for it. */
import { untrack } from 'svelte';
import type {
  AdapterVersion,
  DataCheck,
  DataReport,
  Dataset,
  Model,
  ReadFiles,
  RowDetail,
  RowLosses,
  RowPack,
  Run,
  Split,
  ViewingRows,
  WorstRows,
} from '../../../engine/contract.ts';
import { defaultRecipe, type RecipeInput } from '../../../engine/recipe.ts';
import { Asked } from '../../state/asked.svelte.ts';
import type { Studio } from '../../state/studio.svelte.ts';
import type { Viewing } from '../../state/viewings.svelte.ts';
import { plural } from '../../ui/format.ts';
import { RowLines } from './row-lines.svelte.ts';
import { RowSearch } from './row-search.svelte.ts';
import type { RowWalk } from './row-walk.ts';

/** Represents the data set that is looked at, its rows and the row that is selected. It is made while a component begins. */
export class DatasetView {
  split = $state<Split>('train');
  /** Holds the length as it is being typed; undefined where nobody types. */
  typedLength = $state<number | null | undefined>(undefined);
  selected = $state(0);
  inSight = $state.raw({ from: 0, to: 30 });
  walk = $state.raw<RowWalk | null>(null);
  /** Says what losses are shown of: `none`, `base`, or the id of an adapter. */
  lossOf = $state('none');
  readonly lines = new RowLines();
  readonly search = new RowSearch();
  readonly detail = new Asked<RowDetail>();
  readonly losses = new Asked<RowLosses>();
  readonly pack = new Asked<{ readonly sequence: RowPack | null }>();
  readonly report = new Asked<DataReport>();
  /** Says in which state the files were when they were last read, and which of them are known to differ from the version. */
  files = $state.raw<ReadFiles | null>(null);
  readonly #worst = new Asked<WorstRows | null>();
  readonly #studio: Studio;
  /** Says that the screen was left: an answer that comes afterwards is of no use, and what is derived is no longer true. */
  #isClosed = false;
  #chosenId = $state<string | null>(null);
  #attempt = $state(0);

  constructor(studio: Studio) {
    this.#studio = studio;
    this.#chosenId = studio.router.params.id ?? null;
    this.#keepModel();
    this.#settleLength();
    this.#followVersion();
    this.#askRows();
    this.#askRuns();
    this.#askLosses();
    $effect(() => () => {
      this.search.stop();
      this.#isClosed = true;
    });
  }

  readonly dataset: Dataset | null = $derived.by(() => {
    const { items } = this.#studio.datasets.list;
    return items.find((item) => item.id === this.#chosenId) ?? items[0] ?? null;
  });
  readonly viewing: Viewing = $derived.by(() =>
    this.dataset === null ? {} : this.#studio.datasets.viewings.of(this.dataset.id),
  );
  /** Holds the length in use. */
  readonly maxLength: number = $derived(this.viewing.maxLength ?? defaultRecipe().maxLength);
  /** Holds the model chosen for this data set, or for the one before, or else one that can read conversations. */
  readonly model: Model | null = $derived.by(() => {
    const { items } = this.#studio.models.list;
    return (
      items.find(({ id }) => id === this.viewing.modelId) ??
      items.find(({ id }) => id === this.#studio.datasets.viewings.lastModelId) ??
      items.find((item) => item.hasTokenizer && item.hasChatTemplate) ??
      items[0] ??
      null
    );
  });
  readonly adapters: readonly AdapterVersion[] = $derived.by(() =>
    this.#studio.adapters.list.items.filter(
      ({ modelId, modelPath }) => this.model !== null && (modelId === this.model.id || modelPath === this.model.path),
    ),
  );
  /** Says how rows are read where a person tries options of the template. */
  readonly how: ViewingRows = $derived.by(() => {
    const { thinking, unroll, foldSystem, promptFormat, day } = this.viewing;
    const given = Object.entries({ thinking, unroll, foldSystem, promptFormat }).filter(([, value]) => value !== undefined);
    return { rowSettings: Object.fromEntries(given), ...(day === undefined ? {} : { day }) };
  });
  readonly total: number = $derived.by(() => {
    const { trainRows = 0, evalRows = 0 } = this.dataset?.version ?? {};
    return this.lines.total ?? (this.split === 'train' ? trainRows : evalRows);
  });
  readonly blocked: boolean = $derived(
    this.lines.problem !== null || this.report.value?.checks.some((check) => check.severity === 'blocking') === true,
  );
  /** Holds the run whose losses and recipe are shown: that of the chosen adapter, or else the newest one on these rows. */
  readonly run: Run | null = $derived.by(() => {
    const runs = this.#studio.runs.list.items.filter(({ versionId }) => versionId === this.dataset?.version.id);
    const adapter = this.adapters.find(({ id }) => id === this.lossOf);
    return adapter === undefined ? (runs.at(-1) ?? null) : (runs.find(({ id }) => id === adapter.runId) ?? null);
  });
  readonly recipe: RecipeInput = $derived(this.run?.recipe ?? { ...this.how.rowSettings, maxLength: this.maxLength });
  readonly #worstTitle: string = $derived(`Highest loss after ${this.run?.name ?? ''}`);
  readonly jumps = $derived.by(() => {
    const statistics = this.report.value?.statistics;
    const worst = this.dataset?.version.evalRows === 0 ? 0 : (this.#worst.value?.rows.length ?? 0);
    const all = [
      { value: 'longest', label: 'Longest rows', rows: statistics?.longest.length ?? 0 },
      { value: 'shortest', label: 'Shortest rows', rows: statistics?.shortest.length ?? 0 },
      { value: 'worst', label: this.#worstTitle, rows: worst },
      ...(this.report.value?.checks ?? []).map(({ title, rows }, i) => ({ value: String(i), label: title, rows: rows.length })),
    ];
    return all.filter(({ rows }) => rows > 0).map(({ rows, ...jump }) => ({ ...jump, detail: plural(rows, 'row') }));
  });

  /** Asks in which state the files are. A person who comes back to the window may have written them meanwhile. */
  async lookAgain(): Promise<void> {
    const { dataset, model, split, maxLength } = this;
    if (this.lines.problem !== null) this.retry();
    if (dataset === null || model === null || this.files === null) return;
    const question = { split, maxLength, ...this.how, offset: this.selected, limit: 1 };
    const answer = await this.#studio.datasets.rows(dataset, model.id, question).catch(() => null);
    if (answer === null) this.retry();
    else this.#see(dataset, answer.files);
  }

  /**
   * Takes the state of the files that an answer about a data set was read from. Where they were written since the last one, all that is
   * shown is of former files: it is forgotten and asked anew.
   */
  #see({ version }: Dataset, files: ReadFiles | null): void {
    if (files === null || this.#isClosed || this.dataset?.version.id !== version.id) return;
    const before = this.files;
    if (before === null || before.stamp === files.stamp) {
      this.files = { ...files, changed: [...new Set([...(before?.changed ?? []), ...files.changed])] };
      return;
    }
    this.files = files;
    this.#forget();
    this.retry();
  }

  /** Forgets what was read from the files. */
  #forget(): void {
    this.report.clear();
    this.search.clear();
    this.lines.clear();
    this.detail.clear();
    this.pack.clear();
  }

  /** Asks everything again. */
  retry(): void {
    this.#attempt++;
  }

  show(row: number): void {
    this.selected = Math.max(0, Math.min(row, this.total - 1));
  }

  /** Selects a row that a person points at, which ends a walk. */
  select(row: number): void {
    this.walk = null;
    this.show(row);
  }

  choose(id: string): void {
    if (id === this.dataset?.id) return;
    this.#chosenId = id;
    this.typedLength = undefined;
    this.lossOf = 'none';
    this.changeSplit('train');
  }

  changeSplit(next: Split): void {
    this.split = next;
    // The checks of other rows name rows by numbers that are not theirs here.
    this.#forget();
    this.files = null;
    this.selected = 0;
    this.walk = null;
  }

  find(text: string): void {
    const { dataset, model, split } = this;
    if (dataset === null) return;
    this.search.start(text, async (question, signal) => {
      const answer = await this.#studio.datasets.find(dataset, model?.id ?? '', { split, ...question }, { signal });
      this.#see(dataset, answer);
      return answer;
    });
  }

  walkThrough(title: string, rows: readonly number[], check: DataCheck | null = null, at = 0): void {
    this.walk = { title, rows, check, at };
    this.show(rows[at]!);
  }

  /** Goes to a row of the walk by its place, which may be one beyond either end; null ends the walk. */
  walkTo(at: number | null): void {
    const { walk } = this;
    if (walk === null || at === null) this.walk = null;
    else this.walkThrough(walk.title, walk.rows, walk.check, (at + walk.rows.length) % walk.rows.length);
  }

  /** Begins a walk through the rows that one of `jumps` names. */
  jump(to: string): void {
    const [statistics, checks] = [this.report.value?.statistics, this.report.value?.checks ?? []];
    if (to === 'longest') this.walkThrough('Longest rows', statistics?.longest ?? []);
    else if (to === 'shortest') this.walkThrough('Shortest rows', statistics?.shortest ?? []);
    else if (to === 'worst') {
      if (this.split !== 'eval') this.changeSplit('eval');
      this.walk = { title: this.#worstTitle, rows: (this.#worst.value?.rows ?? []).map(({ row }) => row), check: null, at: 0 };
      this.selected = this.walk.rows[0] ?? 0;
    } else {
      const check = checks[Number(to)];
      if (check !== undefined) this.walkThrough(check.title, check.rows, check);
    }
  }

  /** Keeps the model that a data set was first looked at with: one that is opened later does not take its place. */
  #keepModel(): void {
    $effect(() => {
      const { dataset, model, viewing } = this;
      if (dataset === null || model === null || viewing.modelId === model.id || model.projectId !== dataset.projectId) return;
      untrack(() => this.#studio.datasets.viewings.change(dataset.id, { modelId: model.id }));
    });
  }

  /** Waits with a length that is typed or dragged until the hand rests. */
  #settleLength(): void {
    $effect(() => {
      const { typedLength: value, dataset } = this;
      if (dataset === null || value === undefined || value === null || !Number.isInteger(value) || value < 8) return;
      const timer = setTimeout(() => {
        this.#studio.datasets.viewings.change(dataset.id, { maxLength: value });
        this.typedLength = undefined;
      }, 250);
      return () => clearTimeout(timer);
    });
  }

  /** Begins anew with another version, whose row numbers mean other rows, and which may have no rows to evaluate on. */
  #followVersion(): void {
    let shown: Dataset | null = null;
    $effect(() => {
      const [before, now] = [shown, this.dataset];
      shown = now;
      if (before === null || now === null || before.version.id === now.version.id) return;
      if (before.id === now.id) untrack(() => void this.#stay(now, before.version.id));
      else untrack(() => this.changeSplit(now.version.evalRows === 0 ? 'train' : this.split));
    });
  }

  /** Shows the same row in another version. If it is gone, the row that now has its number is shown. */
  async #stay(now: Dataset, before: string): Promise<void> {
    const { version } = now;
    const { split, selected: row } = this;
    const next = version.evalRows === 0 ? 'train' : split;
    this.changeSplit(next);
    this.show(next === split ? row : 0);
    const kept = this.selected;
    const place = await this.#studio.datasets.place(now, before, split, row).catch(() => null);
    if (place === null || this.#isClosed) return;
    if (this.dataset?.version.id !== version.id || this.selected !== kept || this.split !== next) return;
    if (place.split !== this.split) this.changeSplit(place.split);
    this.show(place.row);
  }

  /** Asks for the rows in sight, the selected row and the report. */
  #askRows(): void {
    const { datasets } = this.#studio;
    $effect(() => {
      const { dataset, model, split, maxLength, how, inSight } = this;
      const attempt = this.#attempt;
      if (dataset === null || model === null) return;
      const question = { split, maxLength, ...how };
      const of = JSON.stringify([dataset.version.id, model.id, split]);
      const range = { ...inSight, of, how: JSON.stringify([question, attempt]) };
      const ask = async (page: { offset: number; limit: number }) => {
        const answer = await datasets.rows(dataset, model.id, { ...question, ...page });
        this.#see(dataset, answer.files);
        return answer;
      };
      untrack(() => void this.lines.look(range, ask));
    });
    $effect(() => {
      const { dataset, model, split, selected: row, maxLength, how, total } = this;
      void this.#attempt;
      if (dataset === null || model === null || total === 0) return;
      const ask = async () => {
        const answer = await datasets.row(dataset, model.id, { split, row, maxLength, ...how });
        this.#see(dataset, answer);
        return answer;
      };
      untrack(() => void this.detail.ask(ask));
    });
    $effect(() => {
      const { dataset, model, split, maxLength, how } = this;
      void this.#attempt;
      if (dataset === null || model === null) return;
      const ask = async () => {
        const answer = await datasets.report(dataset, model.id, split, maxLength, how);
        this.#see(dataset, answer);
        return answer;
      };
      untrack(() => void this.report.ask(ask));
    });
  }

  /** Asks for what runs know of the rows: those with the highest loss, and the sequence that the selected row is packed into. */
  #askRuns(): void {
    const { datasets } = this.#studio;
    $effect(() => {
      const [id, evaluations] = [this.run?.id ?? null, this.run?.measures.loss];
      void evaluations;
      untrack(() => (id === null ? this.#worst.clear() : void this.#worst.ask(() => datasets.worst(id))));
    });
    $effect(() => {
      const { dataset, model, report, split, selected, recipe } = this;
      // The report has read all rows by then.
      if (dataset === null || model === null || report.value === null || report.pending || split !== 'train') return;
      untrack(() => {
        this.pack.clear();
        void this.pack.ask(async () => ({ sequence: await datasets.pack(dataset, model.id, selected, recipe) }));
      });
    });
  }

  #askLosses(): void {
    $effect(() => {
      const { dataset, model, adapters, split, selected: row, maxLength, how, lossOf } = this;
      void this.#attempt;
      if (dataset === null || model === null || lossOf === 'none') return;
      const adapter = adapters.find(({ id }) => id === lossOf)?.path ?? null;
      const gone = new AbortController();
      untrack(() => {
        this.losses.clear();
        void this.losses.ask(() =>
          this.#studio.datasets.losses(dataset, model.id, { split, row, adapter, maxLength, ...how }, { signal: gone.signal }),
        );
      });
      return () => gone.abort();
    });
  }
}
