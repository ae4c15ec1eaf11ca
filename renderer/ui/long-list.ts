/**
 * Places the rows of a list of any length. An element can be so many pixels high and no more, so a list of a million rows scrolls through its
 * rows faster than its bar moves.
 */

/** Browsers draw elements of up to some 30 million pixels. */
const mostPixels = 10_000_000;
/** Rows that are made above and below those in sight. */
const spare = 6;

/** The heights in pixels of a row and of what is seen of the list. */
export interface ListSize {
  readonly rows: number;
  readonly row: number;
  readonly view: number;
}

/** Returns the height of what is scrolled. */
export function scrolledHeight({ rows, row }: ListSize): number {
  return Math.min(rows * row, mostPixels);
}

/** Returns how many pixels of the whole list are above its window. */
export function pixelsAbove(scrollTop: number, size: ListSize): number {
  return scrollTop * ratio(size);
}

/** Returns the rows to make, from the first up to the last (exclusive), and where the first begins within what is scrolled. */
export function rowsInSight(
  scrollTop: number,
  size: ListSize,
): { readonly from: number; readonly to: number; readonly top: number } {
  const above = pixelsAbove(scrollTop, size);
  const from = Math.max(0, Math.min(Math.floor(above / size.row) - spare, size.rows));
  const to = Math.min(size.rows, Math.ceil((above + size.view) / size.row) + spare);
  return { from, to, top: scrollTop + from * size.row - above };
}

/** Returns where to scroll so that a row is whole in the window, with as little movement as that takes. */
export function scrollTopFor(row: number, scrollTop: number, size: ListSize): number {
  const above = pixelsAbove(scrollTop, size);
  const [begin, end] = [row * size.row, (row + 1) * size.row];
  const isSeen = begin >= above && end <= above + size.view;
  if (isSeen) return scrollTop;
  // A row far away comes into the middle.
  const isFar = Math.abs(begin - above) > 2 * size.view;
  const wanted = isFar ? begin - (size.view - size.row) / 2 : begin < above ? begin : end - size.view;
  return Math.max(0, wanted) / ratio(size);
}

/** Pixels of the list for each pixel that is scrolled. */
function ratio(size: ListSize): number {
  const scrolled = scrolledHeight(size) - size.view;
  return scrolled <= 0 ? 1 : (size.rows * size.row - size.view) / scrolled;
}
