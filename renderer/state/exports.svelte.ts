import type { ExportChoice, ExportRecord, ExportRequest, Progress } from '../../engine/contract.ts';
import { SvelteMap } from 'svelte/reactivity';
import { Collection } from './collection.svelte.ts';
import type { Engine } from './engine.ts';

/** The exports of the open project with their proofs, and how far the running ones are. */
export class ExportsState {
  readonly list: Collection<ExportRecord>;
  /** By export id. */
  readonly progress = new SvelteMap<string, Progress>();
  readonly #engine: Engine;

  constructor(engine: Engine) {
    this.#engine = engine;
    this.list = new Collection((projectId) => engine.request('exports.list', { projectId }));
    engine.on('export.changed', (record) => {
      if (record.projectId === this.list.projectId) this.list.apply(record);
      if (record.state !== 'running') this.progress.delete(record.id);
    });
    engine.on('job.progress', (event) => {
      if (event.kind === 'export' && event.subjectId !== null) this.progress.set(event.subjectId, event.progress);
    });
  }

  choices(adapterId: string): Promise<readonly ExportChoice[]> {
    return this.#engine.request('exports.choices', { adapterId });
  }

  /** Resolves when the export is written and proved. */
  async start(request: ExportRequest): Promise<ExportRecord> {
    const record = await this.#engine.request('exports.start', request);
    if (record.projectId === this.list.projectId) this.list.apply(record);
    return record;
  }

  async stop(id: string): Promise<void> {
    await this.#engine.request('exports.stop', { id });
  }
}
