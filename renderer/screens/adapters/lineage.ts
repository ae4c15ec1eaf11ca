/** Lays out where adapter versions came from and where they went: base, run, version and export as columns of a picture. */
import type { AdapterVersion, ExportRecord } from '../../../engine/contract.ts';

export type NodeKind = 'base' | 'run' | 'version' | 'export';
export interface LineageNode {
  readonly key: string;
  readonly kind: NodeKind;
  /** Counts columns from left to right, 0 to 3. */
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
}

/** Places the versions. Every leaf has a row of its own, and every other node is centred on the nodes that came from it. */
export function lineage(adapters: readonly AdapterVersion[], exports: readonly ExportRecord[]): Lineage {
  const nodes: LineageNode[] = [];
  const edges: [string, string][] = [];
  let row = 0;
  for (const [base, ofBase] of groups(adapters, (adapter) => adapter.modelId ?? adapter.modelPath)) {
    const baseKey = `base:${base}`;
    const baseRows: number[] = [];
    for (const [source, versions] of groups(ofBase, (adapter) => adapter.runId ?? `import:${adapter.id}`)) {
      const runKey = `run:${source}`;
      const imported = versions[0]!.runId === null;
      const versionRows: number[] = [];
      for (const adapter of versions.toSorted((a, b) => (a.step ?? 0) - (b.step ?? 0))) {
        const key = `version:${adapter.id}`;
        const written = exports.filter((record) => record.adapterId === adapter.id && record.state === 'done');
        const first = row;
        for (const record of written) {
          nodes.push({
            key: `export:${record.id}`,
            kind: 'export',
            column: 3,
            row: row++,
            title: record.format,
            adapter,
            record,
          });
          edges.push([key, `export:${record.id}`]);
        }
        if (written.length === 0) row++;
        const middle = (first + row - 1) / 2;
        nodes.push({ key, kind: 'version', column: 2, row: middle, title: adapter.name, adapter, record: null });
        edges.push([imported ? baseKey : runKey, key]);
        versionRows.push(middle);
      }
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
  return { nodes, edges, rows: row };
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

function groups<T>(items: readonly T[], key: (item: T) => string): Map<string, T[]> {
  return Map.groupBy(items, key);
}

function mean(rows: readonly number[]): number {
  return ((rows[0] ?? 0) + (rows.at(-1) ?? 0)) / 2;
}
