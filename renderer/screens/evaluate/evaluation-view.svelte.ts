/** Holds how a person looks at one evaluation: which two are compared, by which measure, and the rows of a cell. */
import type { AnsweredQuestion, EvaluationDetail } from '../../../engine/contract.ts';
import type { MeasureName } from '../../../engine/measures.ts';
import { Asked } from '../../state/asked.svelte.ts';
import type { EvaluationsState } from '../../state/evaluations.svelte.ts';
import { isShare } from './measure-names.ts';
import {
  type Cell,
  type CellCounts,
  countsOf,
  firstCell,
  firstPair,
  measuresOf,
  pairOf,
  type ShownReport,
} from './report-pairs.ts';

interface CellRows {
  readonly rows: readonly AnsweredQuestion[];
  readonly total: number;
}
const cells: readonly Cell[] = ['both', 'only-a', 'only-b', 'neither'];
/** Gives the rows that are asked at a time. */
const page = 30;

export class EvaluationView {
  readonly id: string;
  readonly detail = new Asked<EvaluationDetail>();
  readonly report: ShownReport | null = $derived(this.detail.value?.report ?? null);
  readonly measures: readonly MeasureName[] = $derived(this.report === null ? [] : measuresOf(this.report));
  a = $state<string | null>(null);
  b = $state<string | null>(null);
  measure = $state<MeasureName | null>(null);
  cell = $state<Cell | null>(null);
  /** Holds the numbers of rows in the cells. */
  readonly counts = new Asked<CellCounts>();
  readonly rows = new Asked<CellRows>();
  readonly pair = $derived(
    this.report === null || this.a === null || this.b === null || this.measure === null
      ? null
      : pairOf(this.report, this.a, this.b, this.measure),
  );
  readonly #evaluations: EvaluationsState;

  constructor(evaluations: EvaluationsState, id: string) {
    this.#evaluations = evaluations;
    this.id = id;
  }

  async load(): Promise<void> {
    await this.detail.ask(() => this.#evaluations.get(this.id));
    const [measure] = this.measures;
    if (this.report === null || measure === undefined) return;
    if (this.measure === null || !this.measures.includes(this.measure)) this.measure = measure;
    if (this.a === null || this.b === null) [this.a, this.b] = firstPair(this.report, measure) ?? [null, null];
    await this.#look();
  }

  /** Compares two others. Choosing the other one of the pair makes them change places. */
  async compare(which: 'a' | 'b', name: string): Promise<void> {
    const [own, other] = which === 'a' ? [this.a, this.b] : [this.b, this.a];
    if (name === own) return;
    const next = name === other ? own : other;
    [this.a, this.b] = which === 'a' ? [name, next] : [next, name];
    await this.#look();
  }

  async measureBy(measure: MeasureName): Promise<void> {
    this.measure = measure;
    await this.#look();
  }

  async open(cell: Cell): Promise<void> {
    this.cell = cell;
    await this.#askRows(0);
  }

  async more(): Promise<void> {
    await this.#askRows(this.rows.value?.rows.length ?? 0);
  }

  /** Asks for what belongs to the pair and its measure. */
  async #look(): Promise<void> {
    this.counts.clear();
    this.rows.clear();
    this.cell = null;
    const { pair, a, b, measure } = this;
    if (a === null || b === null || measure === null) return;
    if (!isShare(measure)) return this.#askRows(0);
    const known = pair === null ? null : countsOf(pair);
    await this.counts.ask(async () => {
      if (known !== null) return known;
      const asked = cells.map(async (cell) => {
        const { total } = await this.#evaluations.rows({ id: this.id, offset: 0, limit: 0, cell: { a, b, measure, cell } });
        return [cell, total] as const;
      });
      return Object.fromEntries(await Promise.all(asked)) as Record<Cell, number>;
    });
    if (this.counts.value !== null) await this.open(firstCell(this.counts.value));
  }

  async #askRows(offset: number): Promise<void> {
    const { a, b, measure, cell } = this;
    if (a === null || b === null || measure === null) return;
    const before = offset === 0 ? [] : (this.rows.value?.rows ?? []);
    const within = cell === null ? {} : { cell: { a, b, measure, cell } };
    if (offset === 0) this.rows.clear();
    await this.rows.ask(async () => {
      const found = await this.#evaluations.rows({ id: this.id, offset, limit: page, contestants: [a, b], ...within });
      return { rows: [...before, ...found.rows], total: found.total };
    });
  }
}
