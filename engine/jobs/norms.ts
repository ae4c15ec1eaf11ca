/** Runs the job `norms`, which computes how far an adapter moves each matrix of its base. */
import { openHashedAdapter } from '../adapters/adapted.ts';
import { updateNorms } from '../adapters/norms.ts';
import type { JobSpec, UpdateNorms } from '../contract.ts';
import { openModel } from '../models/open.ts';

export function runNorms({ model: at, adapterPath, adapterHash }: Extract<JobSpec, { kind: 'norms' }>): UpdateNorms {
  const model = openModel(at.path, at.acceptFields);
  return updateNorms(openHashedAdapter(model, adapterPath, adapterHash).opened.adapter, model.spec);
}
