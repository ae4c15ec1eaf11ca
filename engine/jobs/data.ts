/**
 * Job `data`: all that is asked about one model while somebody types and looks: rows of data sets through its tokenizer and template, what a
 * recipe would adapt and take of memory, what an adapter can be exported as. A process of its own keeps the model open between requests, and
 * can be killed if rows never end.
 */
import type {
  AdapterPlan,
  DataReport,
  ExportChoice,
  JobRequest,
  JobSpec,
  RenderedRow,
  RowView,
  ViewingRows,
} from '../contract.ts';
import { today } from '../data/day.ts';
import { reportOf, viewRow } from '../data/report.ts';
import { type DataRows, readRows } from '../data/rows.ts';
import type { Tokenizer } from '../data/tokenizer.ts';
import { exportChoices } from '../export/index.ts';
import { stampOf } from '../formats/files.ts';
import { openModel, type OpenModel } from '../models/open.ts';
import { positionLimit } from '../models/positions.ts';
import { Problem, type ProblemValue } from '../problem.ts';
import { defaultRecipe, type Recipe, rowSettings } from '../recipe.ts';
import { openAdapted } from '../training/lora/adapted.ts';
import { plannedShape } from '../training/lora/initial.ts';
import { planTargets } from '../training/lora/target-plan.ts';
import { MemoryPlanner, planAdapter } from '../training/memory.ts';
import { trialFor, trialKey } from '../training/trial.ts';
import { tokenizerOf } from './load.ts';
import type { JobPort } from './port.ts';

/** Data sets kept encoded: the two splits of one and of the one looked at before. */
const keptSets = 4;

export async function runData(spec: Extract<JobSpec, { kind: 'data' }>, port: JobPort): Promise<null> {
  let held: { readonly paths: readonly string[]; readonly stamp: string; readonly model: ModelData } | null = null;
  port.onRequest(async (request) => {
    // Files that were replaced are another model.
    if (held === null || stampOf(held.paths) !== held.stamp) {
      const model = openModel(spec.modelPath, spec.acceptFields);
      const paths = [spec.modelPath, model.path, ...model.files];
      held = { paths, stamp: stampOf(paths), model: new ModelData(model) };
    }
    return held.model.answer(request);
  });
  await port.untilStopped();
  return null;
}

class ModelData {
  readonly #model: OpenModel;
  readonly #memory: MemoryPlanner;
  #tokenizer: Tokenizer | null | undefined;
  /** By day, settings, paths, sizes and times; the oldest first. */
  readonly #sets = new Map<string, Promise<DataRows>>();

  constructor(model: OpenModel) {
    this.#model = model;
    this.#memory = new MemoryPlanner(model);
  }

  /** Read when rows are first asked for: what a recipe adapts needs none. */
  get tokenizer(): Tokenizer | null {
    return this.#tokenizer === undefined ? (this.#tokenizer = tokenizerOf(this.#model)) : this.#tokenizer;
  }

  async answer(request: JobRequest): Promise<unknown> {
    const { spec } = this.#model;
    switch (request.name) {
      case 'render':
        return this.#render(request);
      case 'rows':
        return this.#page(request);
      case 'report':
        return this.#report(request);
      case 'memory':
        return this.#memory.plan(request.recipe, request.longest);
      case 'targets':
        return planTargets(request.recipe, spec);
      case 'adapter':
        return this.#adapter(request.recipe);
      case 'choices':
        return this.#choices(request.adapterPath);
      case 'trialKey':
        return trialKey(trialFor(request.subject));
      default:
        throw new Problem('request-invalid', `Data preparation does not answer '${request.name}'.`, 'Ask the chat process.');
    }
  }

  #adapter(recipe: Recipe): AdapterPlan {
    const { info, spec } = this.#model;
    return { ...planAdapter(info.linears, plannedShape(recipe, this.#model)), layers: spec.layers };
  }

  #choices(path: string): readonly ExportChoice[] {
    const { model, adapters } = openAdapted(this.#model, [{ path, weight: 1 }]);
    return exportChoices(model, adapters[0]!.adapter.shape);
  }

  async #render(request: Extract<JobRequest, { name: 'render' }>): Promise<(RenderedRow | { problem: ProblemValue })[]> {
    const { rows } = await this.#rows(request.dataPaths, request);
    return rows.map((row) =>
      'problem' in row
        ? { problem: row.problem }
        : {
            ...(row.turn === null ? {} : { row: row.index, turn: row.turn }),
            ...{ text: row.text, input_ids: [...row.inputIds], labels: [...row.labels] },
          },
    );
  }

  /** Pages count rows of the data: the examples of a row come together. */
  async #page({ dataPaths, offset, limit, maxLength }: Extract<JobRequest, { name: 'rows' }>): Promise<{
    rows: RowView[];
    total: number;
  }> {
    const { rows } = await this.#rows(dataPaths);
    const page = rows.filter(({ index }) => index >= offset && index < offset + limit);
    const total = (rows.at(-1)?.index ?? -1) + 1;
    const length = Math.min(maxLength, positionLimit(this.#model.spec));
    return { rows: await Promise.all(page.map((row) => viewRow(row, this.tokenizer, length))), total };
  }

  async #report(request: Extract<JobRequest, { name: 'report' }>): Promise<DataReport> {
    const { dataPaths, otherPaths, maxLength } = request;
    const others = otherPaths.length === 0 ? [] : (await this.#rows(otherPaths, request)).rows;
    const model = { spec: this.#model.spec, tokenizer: this.tokenizer };
    return reportOf(await this.#rows(dataPaths, request), others, maxLength, model);
  }

  /** Rows that are looked at are not of a run yet: a template prints what day it is, unless another one is asked for. */
  async #rows(paths: readonly string[], { rowSettings: given, day = today() }: ViewingRows = {}): Promise<DataRows> {
    const settings = rowSettings({ ...defaultRecipe(), ...given });
    const key = JSON.stringify([day, settings, stampOf(paths)]);
    let set = this.#sets.get(key);
    if (set === undefined) {
      set = readRows(paths, this.tokenizer, this.#model.spec.vocabularySize, { ...settings, day });
      this.#sets.set(key, set);
      set.catch(() => this.#sets.delete(key));
      for (const oldest of this.#sets.keys()) {
        if (this.#sets.size <= keptSets) break;
        this.#sets.delete(oldest);
      }
    }
    return set;
  }
}
