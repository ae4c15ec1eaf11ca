/** Returns the item of a list that an arrow key, Home or End leads to, or null for any other key and for an empty list. */
export function itemByKey<T>(event: KeyboardEvent, items: readonly T[], current: T | null): T | null {
  const at = current === null ? -1 : items.indexOf(current);
  const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: items.length - 1 }[event.key];
  if (to === undefined || items.length === 0) return null;
  event.preventDefault();
  return items[Math.min(items.length - 1, Math.max(0, to))] ?? null;
}
