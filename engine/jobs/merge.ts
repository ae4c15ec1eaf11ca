/** Job `merge`: base and weighted adapters become one hub folder. */
import { resolve } from 'node:path';
import type { JobSpec } from '../contract.ts';
import { hubFolderSize, writeHubFolder } from '../export/hub.ts';
import { exportSource } from '../export/source.ts';
import { openModel } from '../models/open.ts';
import { readAdapter } from '../training/lora/folder.ts';
import { publish, notesOnBase, sizeOf, stepOf } from './export.ts';
import { tokenizerOf } from './load.ts';
import type { JobPort } from './port.ts';

const types = { float32: 'F32', float16: 'F16', bfloat16: 'BF16' } as const;

export interface MergeResult {
  readonly path: string;
  readonly bytes: number;
  /** What a person should know of what was written. */
  readonly notes: readonly string[];
}

export async function runMerge(spec: Extract<JobSpec, { kind: 'merge' }>, port: JobPort): Promise<MergeResult> {
  const model = openModel(spec.modelPath, spec.acceptFields);
  const adapters = spec.adapters.map(({ path, weight }) => ({ adapter: readAdapter(path, model.spec), weight }));
  const source = exportSource(model, adapters, tokenizerOf(model));
  const type = types[spec.dtype];
  const path = resolve(spec.out);
  await publish(path, true, hubFolderSize(source.model, type), async (partial) => {
    await writeHubFolder(partial, source, type, stepOf(port, 'Merging', 'tensors'));
    // What cannot be opened again must not get its name.
    openModel(partial, spec.acceptFields);
  });
  return { path, bytes: sizeOf(path), notes: adapters.length > 0 ? notesOnBase(model) : [] };
}
