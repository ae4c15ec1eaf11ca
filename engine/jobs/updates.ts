/** Runs the job `updates`, which measures what an adapter adds to each matrix of its base. */
import { openHashedAdapter, recordedOf } from '../adapters/adapted.ts';
import { adapterUpdates } from '../adapters/updates.ts';
import type { AdapterUpdates, JobSpec } from '../contract.ts';
import { openModel } from '../models/open.ts';

export function runUpdates({ model: at, ...of }: Extract<JobSpec, { kind: 'updates' }>): AdapterUpdates {
  const model = openModel(at.path, at.acceptFields);
  return adapterUpdates(openHashedAdapter(model, of.adapterPath, recordedOf(of)).opened.adapter, model.spec);
}
