import type { Project } from '../../engine/contract.ts';
import { Asked } from './asked.svelte.ts';
import type { Engine } from './engine.ts';

const rememberedKey = 'project';

/** Holds the projects, and which of them is open. */
export class ProjectState {
  readonly asked = new Asked<readonly Project[]>();
  readonly items: readonly Project[] = $derived(this.asked.value ?? []);
  currentId = $state<string | null>(window.localStorage.getItem(rememberedKey));
  readonly current: Project | null = $derived(this.items.find((project) => project.id === this.currentId) ?? null);
  readonly #engine: Engine;
  readonly #opened: (id: string | null) => void;

  constructor(engine: Engine, opened: (id: string | null) => void) {
    this.#engine = engine;
    this.#opened = opened;
    engine.on('list.changed', (change) => {
      if (change.list === 'projects') void this.load();
    });
  }

  /** Loads the list, and opens the project that was open last, or else the newest. */
  async load(): Promise<void> {
    await this.asked.ask(() => this.#engine.request('projects.list'));
    if (this.asked.problem !== null || this.current !== null) return;
    const newest = this.items.at(-1);
    if (newest !== undefined) this.open(newest.id);
  }

  open(id: string): void {
    this.currentId = id;
    window.localStorage.setItem(rememberedKey, id);
    this.#opened(id);
  }

  async create(name: string): Promise<Project> {
    const project = await this.#engine.request('projects.create', { name });
    await this.asked.ask(() => this.#engine.request('projects.list'));
    this.open(project.id);
    return project;
  }

  async rename(id: string, name: string): Promise<void> {
    await this.#engine.request('projects.rename', { id, name });
    await this.load();
  }

  /** Returns the open project, and makes one where there is none, when a person adds something for the first time. */
  async ensure(): Promise<string> {
    if (this.current !== null) return this.current.id;
    return (await this.create('My project')).id;
  }
}
