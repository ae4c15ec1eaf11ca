/** Turns the models and adapters that requests name into what a job gets. */
import { existsSync, realpathSync } from 'node:fs';
import { resolve } from 'node:path';
import type { AdapterAt, AdapterVersion, AdapterWeight, ModelAt, ModelRef, OneAdapter } from '../contract.ts';
import { type RowSettings, rowSettings } from '../recipe.ts';
import type { Store } from '../store/open.ts';
import { found } from './context.ts';
import { requireAbsolute } from './require.ts';

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
