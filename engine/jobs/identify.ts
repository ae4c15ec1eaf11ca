/**
 * Runs the job `identify`, which reads what an exported file or folder says of where it came from, and the hashes it has now.
 */
import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import type { Fingerprint, JobSpec } from '../contract.ts';
import { readFingerprint } from '../export/lineage.ts';
import { Problem } from '../problem.ts';

export async function runIdentify(spec: Extract<JobSpec, { kind: 'identify' }>): Promise<Fingerprint> {
  const path = resolve(spec.path);
  if (!existsSync(path)) throw new Problem('file-missing', `'${path}' does not exist.`, 'Check the path.');
  return readFingerprint(path);
}
