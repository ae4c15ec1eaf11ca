/** Job `norms`: how far an adapter moves each matrix of its base. */
import type { JobSpec, UpdateNorms } from '../contract.ts';
import { openModel } from '../models/open.ts';
import { readAdapter } from '../training/lora/folder.ts';
import { updateNorms } from '../training/lora/norms.ts';

export function runNorms({ modelPath, acceptFields, adapterPath }: Extract<JobSpec, { kind: 'norms' }>): UpdateNorms {
  const { spec } = openModel(modelPath, acceptFields);
  return updateNorms(readAdapter(adapterPath, spec), spec.layers);
}
