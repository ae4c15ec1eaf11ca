import type { Attachment } from 'svelte/attachments';
import { on } from 'svelte/events';
import { rowsAround } from './rows-around.ts';

/** Counts the rows rendered beyond each edge of the window, so that a turn of the wheel or a Tab finds them there. */
const spare = 20;

/**
 * Decides which rows of a long list are rendered: those in the window, the one with the focus and the one that must be there.
 * The others become gaps of the same height. All rows must have one height and carry their index as `data-index`; a screen
 * reader is told the indices and the number of rows.
 */
export class VisibleRows {
  readonly #count: () => number;
  readonly #kept: () => number;
  #height = $state(0);
  #seen = $state.raw({ from: 0, to: 2 * spare });
  #focused = $state(-1);
  readonly #made = $derived.by(() => rowsAround(this.#count(), this.#seen, [this.#kept(), this.#focused]));

  /** `count` returns the number of rows, and `kept` a row that is always rendered, or -1 for none. */
  constructor(count: () => number, kept: () => number = () => -1) {
    this.#count = count;
    this.#kept = kept;
  }

  /** Returns each rendered row with the height in pixels of the gap before it. */
  get rows(): readonly { readonly index: number; readonly gap: number }[] {
    return this.#made.rows.map(({ index, before }) => ({ index, gap: before * this.#height }));
  }

  /** Returns the height in pixels of the rows left out at the end. */
  get rest(): number {
    return this.#made.after * this.#height;
  }

  /** Measures and observes the rows; it must be attached to the element whose children they are. */
  readonly attach: Attachment<HTMLElement> = (list) => {
    const look = (): void => {
      const row = list.querySelector('[data-index]')?.getBoundingClientRect();
      if (row === undefined || row.height === 0) return;
      this.#height = row.height;
      const above = -list.getBoundingClientRect().top / row.height;
      // The range moves in steps, so that not every turn of the wheel adds one row and removes another.
      const from = Math.floor(above / spare - 1) * spare;
      const to = Math.ceil((above + window.innerHeight / row.height) / spare + 1) * spare;
      if (from !== this.#seen.from || to !== this.#seen.to) this.#seen = { from, to };
    };
    const focus = (event: FocusEvent): void => {
      const row = event.target instanceof Element ? event.target.closest('[data-index]') : null;
      this.#focused = event.type === 'focusin' && row !== null ? Number(row.getAttribute('data-index')) : -1;
    };
    const resized = new ResizeObserver(look);
    resized.observe(list);
    // The capturing listener hears whichever element scrolls.
    window.addEventListener('scroll', look, { capture: true, passive: true });
    window.addEventListener('resize', look);
    // The listeners are added as Svelte's own are, because a row that is removed while it has the focus fires during an update.
    const unfocus = (['focusin', 'focusout'] as const).map((name) => on(list, name, focus));
    return () => {
      resized.disconnect();
      window.removeEventListener('scroll', look, { capture: true });
      window.removeEventListener('resize', look);
      for (const off of unfocus) off();
    };
  };
}
