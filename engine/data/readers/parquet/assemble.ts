/**
 * Assembles rows of nested objects and lists from the values of their columns (Dremel: the levels say where each value
 * belongs).
 */
import type { RowValues } from './column.ts';
import { Damage, requireSound } from './damage.ts';
import type { Node } from './footer.ts';

/** Gives where the values of an object begin or end in each of its columns. */
type Places = readonly number[];

/** Returns the row that has these values in the columns of `root`. */
export function assembleRow(root: Node, columns: readonly RowValues[]): Record<string, unknown> {
  return new Assembly(columns).row(root);
}

class Assembly {
  readonly #columns: readonly RowValues[];

  constructor(columns: readonly RowValues[]) {
    this.#columns = columns;
  }

  row(root: Node): Record<string, unknown> {
    return this.#object(
      root,
      this.#columns.map(() => 0),
      this.#columns.map(({ definitions }) => definitions.length),
    );
  }

  #object(node: Node, from: Places, to: Places): Record<string, unknown> {
    return Object.fromEntries(node.children.map((child) => [child.name, this.#field(child, from, to)]));
  }

  #field(node: Node, from: Places, to: Places): unknown {
    if (node.repetition === 'repeated') return this.#items(node, from, to, (start, end) => this.#content(node, start, end));
    return this.#isThere(node, from, to) ? this.#content(node, from, to) : null;
  }

  /** Returns whether the value in the node's first column belongs to this node, and not only to one around it. */
  #isThere({ first, maxDefinition }: Node, from: Places, to: Places): boolean {
    requireSound(from[first]! < to[first]!, 'its columns do not fit together');
    return this.#columns[first]!.definitions[from[first]!]! >= maxDefinition;
  }

  #content(node: Node, from: Places, to: Places): unknown {
    const [inner] = node.children;
    if (inner === undefined) return this.#columns[node.first]!.values[from[node.first]!];
    const isRepeated = node.children.length === 1 && inner.repetition === 'repeated';
    if (node.meaning.kind === 'list' && isRepeated) {
      // Lists written by the earliest programs have no group around each entry.
      const isEntry = inner.children.length !== 1 || inner.name === 'array' || inner.name === `${node.name}_tuple`;
      return this.#items(inner, from, to, (start, end) =>
        isEntry ? this.#content(inner, start, end) : this.#field(inner.children[0]!, start, end),
      );
    }
    if (node.meaning.kind === 'map' && isRepeated && inner.children.length === 2) {
      const [key, value] = inner.children as [Node, Node];
      const entries = this.#items(inner, from, to, (start, end) => [
        String(this.#field(key, start, end)),
        this.#field(value, start, end),
      ]);
      return Object.fromEntries(entries as [string, unknown][]);
    }
    return this.#object(node, from, to);
  }

  #items(node: Node, from: Places, to: Places, content: (from: Places, to: Places) => unknown): unknown[] {
    if (!this.#isThere(node, from, to)) return [];
    const items: unknown[] = [];
    let start = from;
    for (;;) {
      const end = [...to];
      let more = false;
      for (let column = node.first; column < node.last; column++) {
        const { repetitions } = this.#columns[column]!;
        let at = start[column]! + 1;
        while (at < to[column]! && repetitions[at]! > node.maxRepetition) at++;
        if (column > node.first && more !== at < to[column]!) throw new Damage('its columns do not fit together');
        more = at < to[column]!;
        end[column] = at;
      }
      items.push(content(start, end));
      if (!more) return items;
      start = end;
    }
  }
}
