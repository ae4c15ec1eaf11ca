/** Lays out where adapter versions came from and where they went: base, run, version, mixes and export as columns of a picture. */
import type { AdapterVersion, ExportRecord, MixOrigin } from '../../../engine/contract.ts';

export type NodeKind = 'base' | 'run' | 'version' | 'mix' | 'export';
export interface LineageNode {
  readonly key: string;
  readonly kind: NodeKind;
  /** Counts columns from left to right. A mix stands one behind the last of its parents, and exports behind all mixes. */
  readonly column: number;
  /** Counts rows; a half is a place between two rows. */
  readonly row: number;
  readonly title: string;
  readonly adapter: AdapterVersion | null;
  readonly record: ExportRecord | null;
}
export interface Lineage {
  readonly nodes: readonly LineageNode[];
  /** Holds the keys of the connected nodes, from left to right. */
  readonly edges: readonly (readonly [from: string, to: string])[];
  readonly rows: number;
  /** Counts the columns of mixes; 0 where there is none. */
  readonly mixColumns: number;
}

/**
 * Places the versions. Every leaf has a row of its own, and every other node is centred on the nodes that came from it. A mix
 * has rows of its own too, below those of its base, because it has several parents. `mixes` has the parents by the id of the mix.
 */
export function lineage(
  adapters: readonly AdapterVersion[],
  exports: readonly ExportRecord[],
  mixes: Readonly<Record<string, MixOrigin>> = {},
): Lineage {
  const parents = parentsOf(adapters, mixes);
  const mixColumns = Math.max(0, ...adapters.map(({ id }) => generation(id, parents)));
  const nodes: LineageNode[] = [];
  const edges: [string, string][] = [];
  let row = 0;
  for (const [base, ofBase] of groups(adapters, baseOf)) {
    const baseKey = `base:${base}`;
    const baseRows: number[] = [];
    const place = (adapter: AdapterVersion, from: readonly string[]): number => {
      const key = `version:${adapter.id}`;
      const depth = generation(adapter.id, parents);
      const written = exports.filter((record) => record.adapterId === adapter.id && record.state === 'done');
      const first = row;
      for (const record of written) {
        const exportKey = `export:${record.id}`;
        nodes.push({
          ...{ key: exportKey, kind: 'export', column: 3 + mixColumns, row: row++ },
          ...{ title: record.format, adapter, record },
        });
        edges.push([key, exportKey]);
      }
      if (written.length === 0) row++;
      const middle = (first + row - 1) / 2;
      const kind = depth > 0 ? 'mix' : 'version';
      nodes.push({ key, kind, column: 2 + depth, row: middle, title: adapter.name, adapter, record: null });
      for (const origin of from) edges.push([origin, key]);
      return middle;
    };
    const mixed = ofBase.filter(({ id }) => parents.has(id));
    const unmixed = ofBase.filter(({ id }) => !parents.has(id));
    for (const [source, versions] of groups(unmixed, (adapter) => adapter.runId ?? `import:${adapter.id}`)) {
      const runKey = `run:${source}`;
      const imported = versions[0]!.runId === null;
      const versionRows: number[] = [];
      for (const adapter of versions.toSorted((a, b) => (a.step ?? 0) - (b.step ?? 0)))
        versionRows.push(place(adapter, [imported ? baseKey : runKey]));
      const middle = mean(versionRows);
      if (!imported) {
        nodes.push({
          key: runKey,
          kind: 'run',
          column: 1,
          row: middle,
          title: versions[0]!.runName ?? '',
          adapter: versions[0]!,
          record: null,
        });
        edges.push([baseKey, runKey]);
      }
      baseRows.push(middle);
    }
    // They are given newest first.
    for (const adapter of mixed.toReversed())
      place(
        adapter,
        [...parents.get(adapter.id)!].map((id) => `version:${id}`),
      );
    nodes.push({
      key: baseKey,
      kind: 'base',
      column: 0,
      row: mean(baseRows),
      title: ofBase[0]!.modelName,
      adapter: ofBase[0]!,
      record: null,
    });
  }
  return { nodes, edges, rows: row, mixColumns };
}

/** Returns the keys of everything a node came from, and of what came from it. */
export function related(picture: Lineage, key: string): Set<string> {
  const found = new Set([key]);
  for (const forward of [true, false]) {
    const open = [key];
    for (let next = open.pop(); next !== undefined; next = open.pop()) {
      for (const [from, to] of picture.edges) {
        const [here, there] = forward ? [from, to] : [to, from];
        if (here === next && !found.has(there)) {
          found.add(there);
          open.push(there);
        }
      }
    }
  }
  return found;
}

/** Returns the versions that each mix was made from, where they are of the same base; what has none of them is no mix here. */
function parentsOf(
  adapters: readonly AdapterVersion[],
  mixes: Readonly<Record<string, MixOrigin>>,
): ReadonlyMap<string, ReadonlySet<string>> {
  const byId = new Map(adapters.map((adapter) => [adapter.id, adapter]));
  return new Map(
    adapters.flatMap((adapter): [string, ReadonlySet<string>][] => {
      const listed = (mixes[adapter.id]?.parents ?? []).flatMap(({ adapterId }) => byId.get(adapterId ?? '') ?? []);
      const own = listed.filter((parent) => parent.id !== adapter.id && baseOf(parent) === baseOf(adapter));
      return own.length === 0 ? [] : [[adapter.id, new Set(own.map(({ id }) => id))]];
    }),
  );
}

const baseOf = ({ modelId, modelPath }: AdapterVersion): string => modelId ?? modelPath;

/** Returns how many mixes lie between a version and what was trained or imported, itself counted. */
function generation(id: string, parents: ReadonlyMap<string, ReadonlySet<string>>, above: readonly string[] = []): number {
  const own = parents.get(id);
  // What folders say of each other may go in a circle.
  if (own === undefined || above.includes(id)) return 0;
  return 1 + Math.max(...[...own].map((parent) => generation(parent, parents, [...above, id])));
}

function groups<T>(items: readonly T[], key: (item: T) => string): Map<string, T[]> {
  return Map.groupBy(items, key);
}

function mean(rows: readonly number[]): number {
  return ((rows[0] ?? 0) + (rows.at(-1) ?? 0)) / 2;
}
