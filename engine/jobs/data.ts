/**
 * Job `data`: rows of data sets through one model's tokenizer and template, in a process that can be killed if they never end, and the
 * memory that training on them would take.
 */
import { statSync } from 'node:fs';
import type { DataReport, JobRequest, JobSpec, RenderedRow, RowView } from '../contract.ts';
import { reportOf, viewRow } from '../data/report.ts';
import { type DataRows, readRows } from '../data/rows.ts';
import type { Tokenizer } from '../data/tokenizer.ts';
import { openModel, type OpenModel } from '../models/open.ts';
import { Problem, type ProblemValue } from '../problem.ts';
import { defaultRecipe, type RowSettings, rowSettings } from '../recipe.ts';
import { MemoryPlanner } from '../training/memory.ts';
import { tokenizerOf } from './load.ts';
import type { JobPort } from './port.ts';

/** Data sets kept encoded: the two splits of one and of the one looked at before. */
const keptSets = 4;

export async function runData(spec: Extract<JobSpec, { kind: 'data' }>, port: JobPort): Promise<null> {
  const model = openModel(spec.modelPath, spec.acceptFields);
  const data = new Data(model);
  port.onRequest((request) => data.answer(request));
  await port.untilStopped();
  return null;
}

class Data {
  readonly #tokenizer: Tokenizer | null;
  readonly #vocabularySize: number;
  readonly #memory: MemoryPlanner;
  /** By paths, sizes, times and settings; the oldest first. */
  readonly #sets = new Map<string, Promise<DataRows>>();

  constructor(model: OpenModel) {
    this.#tokenizer = tokenizerOf(model);
    this.#vocabularySize = model.spec.vocabularySize;
    this.#memory = new MemoryPlanner(model);
  }

  async answer(request: JobRequest): Promise<unknown> {
    switch (request.name) {
      case 'render':
        return this.#render(request);
      case 'rows':
        return this.#page(request);
      case 'report':
        return this.#report(request);
      case 'memory':
        return this.#memory.plan(request.recipe, request.longest);
      default:
        throw new Problem('request-invalid', `Data preparation does not answer '${request.name}'.`, 'Ask the chat process.');
    }
  }

  async #render(request: Extract<JobRequest, { name: 'render' }>): Promise<(RenderedRow | { problem: ProblemValue })[]> {
    const { rows } = await this.#rows(request.dataPaths, request.rowSettings);
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
    return { rows: await Promise.all(page.map((row) => viewRow(row, this.#tokenizer, maxLength))), total };
  }

  async #report(request: Extract<JobRequest, { name: 'report' }>): Promise<DataReport> {
    const { dataPaths, otherPaths, maxLength, rowSettings: given } = request;
    const others = otherPaths.length === 0 ? [] : (await this.#rows(otherPaths, given)).rows;
    return reportOf(await this.#rows(dataPaths, given), others, maxLength, this.#tokenizer);
  }

  async #rows(paths: readonly string[], given: Partial<RowSettings> = {}): Promise<DataRows> {
    const settings = rowSettings({ ...defaultRecipe(), ...given });
    const key = JSON.stringify([
      settings,
      ...paths.map((path) => {
        const found = statSync(path, { throwIfNoEntry: false });
        return [path, found?.size, found?.mtimeMs];
      }),
    ]);
    let set = this.#sets.get(key);
    if (set === undefined) {
      set = readRows(paths, this.#tokenizer, this.#vocabularySize, settings);
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
