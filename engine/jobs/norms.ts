/** Job `norms`: how far an adapter moves each matrix of its base. */
import { openAdapter } from '../adapters/adapted.ts';
import { updateNorms } from '../adapters/norms.ts';
import type { JobSpec, UpdateNorms } from '../contract.ts';
import { openModel } from '../models/open.ts';

export function runNorms({ model: at, adapterPath }: Extract<JobSpec, { kind: 'norms' }>): UpdateNorms {
  const model = openModel(at.path, at.acceptFields);
  return updateNorms(openAdapter(model, adapterPath).adapter, model.spec);
}
