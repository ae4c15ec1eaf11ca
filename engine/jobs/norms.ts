/** Runs the job `norms`, which computes how far an adapter moves each matrix of its base. */
import { openHashedAdapter, recordedOf } from '../adapters/adapted.ts';
import { updateNorms } from '../adapters/norms.ts';
import type { JobSpec, UpdateNorms } from '../contract.ts';
import { openModel } from '../models/open.ts';

export function runNorms({ model: at, ...of }: Extract<JobSpec, { kind: 'norms' }>): UpdateNorms {
  const model = openModel(at.path, at.acceptFields);
  return updateNorms(openHashedAdapter(model, of.adapterPath, recordedOf(of)).opened.adapter, model.spec);
}
