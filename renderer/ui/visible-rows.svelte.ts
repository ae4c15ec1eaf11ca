import type { Attachment } from 'svelte/attachments';
import { rowsAround } from './rows-around.ts';

/** Rows beyond the edges of the window that are made as well, so that a turn of the wheel or a Tab finds them there. */
const spare = 20;

/**
 * The rows of a long list that are made: those in the window, the one with the focus and those that must be there. The others are gaps of
 * the same height. All rows have one height and carry their place as `data-index`; a screen reader is told the places and the number.
 */
export class VisibleRows {
  readonly #count: () => number;
  readonly #kept: () => number;
  #height = $state(0);
  #seen = $state.raw({ from: 0, to: 2 * spare });
  #focused = $state(-1);
  readonly #made = $derived.by(() => rowsAround(this.#count(), this.#seen, [this.#kept(), this.#focused]));

  /** `kept`: a row that is always made, -1 for none. */
  constructor(count: () => number, kept: () => number = () => -1) {
    this.#count = count;
    this.#kept = kept;
  }

  /** Each row that is made, and the height in pixels of those left out before it. */
  get rows(): readonly { readonly index: number; readonly gap: number }[] {
    return this.#made.rows.map(({ index, before }) => ({ index, gap: before * this.#height }));
  }

  /** Height in pixels of the rows left out at the end. */
  get rest(): number {
    return this.#made.after * this.#height;
  }

  /** Belongs to the element whose children the rows are. */
  readonly attach: Attachment<HTMLElement> = (list) => {
    const look = (): void => {
      const row = list.querySelector('[data-index]')?.getBoundingClientRect();
      if (row === undefined || row.height === 0) return;
      this.#height = row.height;
      const above = -list.getBoundingClientRect().top / row.height;
      // In steps, so that not every turn of the wheel makes one row and removes another.
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
    // Whatever it is that scrolls.
    window.addEventListener('scroll', look, { capture: true, passive: true });
    window.addEventListener('resize', look);
    list.addEventListener('focusin', focus);
    list.addEventListener('focusout', focus);
    return () => {
      resized.disconnect();
      window.removeEventListener('scroll', look, { capture: true });
      window.removeEventListener('resize', look);
      list.removeEventListener('focusin', focus);
      list.removeEventListener('focusout', focus);
    };
  };
}
