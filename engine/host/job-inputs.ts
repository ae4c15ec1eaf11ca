/** Turns the models and adapters that requests name into what a job gets. */
import { existsSync, realpathSync } from 'node:fs';
import { basename, resolve } from 'node:path';
import type {
  AdapterAt,
  AdapterVersion,
  AdapterWeight,
  ExportOrigin,
  ModelAt,
  ModelRef,
  OneAdapter,
  Ref,
} from '../contract.ts';
import { longestName, shown } from '../problem.ts';
import { type RowSettings, rowSettings } from '../recipe.ts';
import type { Store } from '../store/open.ts';
import { found } from './context.ts';
import { requireAbsolute, requireWeight } from './require.ts';

export function modelAt({ models }: Store, ref: ModelRef): Required<ModelAt> {
  const { path, acceptFields = [] } = 'id' in ref ? found(models.get(ref.id), 'model', ref.id) : ref;
  requireAbsolute(path);
  return { path, acceptFields };
}

/** Returns the base of an adapter, opened as its model is registered, or else as its run opened it. */
export function baseOf(
  { models, runs }: Store,
  { modelId, modelPath, runId }: Pick<AdapterVersion, 'modelId' | 'modelPath' | 'runId'>,
): Required<ModelAt> {
  const model = modelId === null ? null : models.get(modelId);
  const job = runId === null ? null : runs.job(runId);
  return { path: modelPath, acceptFields: model?.acceptFields ?? job?.acceptFields ?? [] };
}

/** Returns how the run of an adapter read its rows; empty when no run is known. */
export function rowSettingsOf({ runs }: Store, adapter: Pick<AdapterVersion, 'runId'> | null): Partial<RowSettings> {
  const run = adapter?.runId == null ? null : runs.get(adapter.runId);
  return run === null ? {} : rowSettings(run.recipe);
}

/** Returns the newest version at a path, whatever links lead there. */
export function versionLyingAt({ adapters }: Store, path: string): AdapterVersion | null {
  return adapters.atPath(resolve(path)) ?? (existsSync(path) ? adapters.atPath(realpathSync(path)) : null);
}

/** Holds one of the adapters that a request names, each with a weight. */
export interface WeightedVersion {
  /** Holds its version, or null where there is none at its path. */
  readonly version: AdapterVersion | null;
  readonly path: string;
  readonly weight: number;
  readonly name: string;
}

/** Looks up an adapter that a request names by its version or path. A weight that is left out is 1. */
export function weightedAdapter(store: Store, ref: Ref & { readonly weight?: number }): WeightedVersion {
  const { weight = 1 } = ref;
  const version = 'id' in ref ? found(store.adapters.get(ref.id), 'adapter', ref.id) : versionLyingAt(store, ref.path);
  const path = version?.path ?? ('path' in ref ? ref.path : '');
  requireWeight({ path, weight });
  return { version, path, weight, name: version?.name ?? shown(basename(path), longestName) };
}

/** Returns the name of an adapter with its weight, where that is not 1. */
export function partName({ name, weight }: Pick<WeightedVersion, 'name' | 'weight'>): string {
  return weight === 1 ? name : `${name} × ${weight}`;
}

/** Says of what something is made, for a job that records it. */
export function originOf(exportId: string, parts: readonly WeightedVersion[]): ExportOrigin {
  return {
    exportId,
    adapters: parts.map(({ name, version }) => ({
      name,
      run: version?.runId == null ? null : { id: version.runId, name: version.runName ?? '' },
    })),
  };
}

/** Describes a version as a job gets it, which holds it to what was recorded. */
export function recordedAt({ path, hash, configHash }: AdapterVersion, weight = 1): AdapterAt {
  return { path, weight, hash, configHash };
}

/** Describes a version as a job with one adapter gets it. */
export function oneAdapter({ path, hash, configHash }: AdapterVersion): Required<OneAdapter<string>> {
  return { adapterPath: path, adapterHash: hash, adapterConfigHash: configHash };
}

/** Describes an adapter that was named by its path, as a job receives it: as its version, where there is one at that path. */
export function adapterAt(store: Store, { path, weight }: AdapterWeight): AdapterAt {
  const version = versionLyingAt(store, path);
  return version === null ? { path, weight } : recordedAt(version, weight);
}
