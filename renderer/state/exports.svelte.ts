import type {
  ExportChoice,
  ExportRecord,
  ExportRequest,
  InstallProgram,
  InstallResult,
  Program,
  Progress,
} from '../../engine/contract.ts';
import { SvelteMap } from 'svelte/reactivity';
import { Asked } from './asked.svelte.ts';
import { Collection } from './collection.svelte.ts';
import type { Engine } from './engine.ts';
import { whatStands } from './what-stands.ts';

/** Holds the exports of the open project with their proofs, and how far the running ones are. */
export class ExportsState {
  readonly list: Collection<ExportRecord>;
  /** Holds the progress of each running export, by its id. */
  readonly progress = new SvelteMap<string, Progress>();
  /** Lists the programs of this computer that exports can be installed into. */
  readonly programs = new Asked<readonly Program[]>();
  /** Holds the installations in progress, by export id and program. They continue when their screen is left. */
  readonly #installs = new SvelteMap<string, Asked<InstallResult>>();
  readonly #engine: Engine;

  constructor(engine: Engine) {
    this.#engine = engine;
    this.list = new Collection((projectId) => engine.request('exports.list', { projectId }), whatStands);
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

  /** Writes an export. The promise resolves when it is written and proved. */
  async start(request: ExportRequest): Promise<ExportRecord> {
    const record = await this.#engine.request('exports.start', request);
    if (record.projectId === this.list.projectId) this.list.apply(record);
    return record;
  }

  /** Looks for the programs again, because one may have been installed since. */
  async findPrograms(): Promise<void> {
    await this.programs.ask(() => this.#engine.request('exports.programs'));
  }

  /** Returns the state of installing an export into a program, or null when that was not requested. */
  installed(id: string, program: InstallProgram): Asked<InstallResult> | null {
    return this.#installs.get(`${id} ${program}`) ?? null;
  }

  /** Installs an export into a program. */
  async install(id: string, program: InstallProgram): Promise<void> {
    const asked = new Asked<InstallResult>();
    this.#installs.set(`${id} ${program}`, asked);
    await asked.ask(() => this.#engine.request('exports.install', { id, program }));
  }

  async stop(id: string): Promise<void> {
    await this.#engine.request('exports.stop', { id });
  }
}
