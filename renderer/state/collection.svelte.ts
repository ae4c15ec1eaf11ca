import { Asked } from './asked.svelte.ts';

/**
 * Holds the list of one kind of item in the open project, newest first. Single changes are applied to it, and it is requested
 * again when it changed as a whole.
 */
export class Collection<T extends { readonly id: string }> {
  readonly asked = new Asked<readonly T[]>();
  readonly all: readonly T[] = $derived(this.asked.value ?? []);
  readonly #question: (projectId: string) => Promise<readonly T[]>;
  readonly #shown: (items: readonly T[]) => readonly T[];
  #projectId: string | null = null;
  /** Holds the ids that are hidden while their removal can still be undone. */
  #hidden = $state.raw<ReadonlySet<string>>(new Set());
  readonly items: readonly T[];

  /** `question` asks for the list, oldest first. `shown` leaves out what a screen should not list, and may still find by its id. */
  constructor(
    question: (projectId: string) => Promise<readonly T[]>,
    shown: (items: readonly T[]) => readonly T[] = (items) => items,
  ) {
    this.#question = question;
    this.#shown = shown;
    this.items = $derived(this.#shown(this.all.filter((item) => !this.#hidden.has(item.id))));
  }

  get projectId(): string | null {
    return this.#projectId;
  }
  get loading(): boolean {
    return this.asked.value === null && this.asked.problem === null;
  }

  /** Loads the list of a project, or without an argument the same list again. Without a project the list is empty. */
  async load(projectId: string | null = this.#projectId): Promise<void> {
    if (projectId !== this.#projectId) this.asked.clear();
    this.#projectId = projectId;
    // The engine answers in the order of creation; times follow a clock that may have jumped.
    await this.asked.ask(async () => (projectId === null ? [] : (await this.#question(projectId)).toReversed()));
  }

  /** Returns the item of an id, also one that is not listed. */
  find(id: string | null | undefined): T | null {
    return this.all.find((item) => item.id === id) ?? null;
  }

  /** Puts a new or changed item in its place. */
  apply(item: T): void {
    const known = this.all.some((other) => other.id === item.id);
    this.asked.value = known ? this.all.map((other) => (other.id === item.id ? item : other)) : [item, ...this.all];
  }

  /** Removes an item for good. */
  drop(id: string): void {
    this.asked.value = this.all.filter((item) => item.id !== id);
  }

  /** Leaves an item out of the list, or lists it again. */
  setHidden(id: string, hidden: boolean): void {
    const next = new Set(this.#hidden);
    if (hidden) next.add(id);
    else next.delete(id);
    this.#hidden = next;
  }
}
