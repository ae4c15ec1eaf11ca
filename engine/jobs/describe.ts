/**
 * Runs the job `describe`, which reads an imported adapter whole against its base. It refuses an adapter that does not fit or
 * is damaged, and describes any other.
 */
import { openHashedAdapter } from '../adapters/adapted.ts';
import { describeAdapter } from '../adapters/folder.ts';
import type { AdapterDescription, JobSpec } from '../contract.ts';
import { openModel } from '../models/open.ts';

type DescribeSpec = Extract<JobSpec, { kind: 'describe' }>;

export function runDescribe({ model: at, adapterPath }: DescribeSpec): AdapterDescription {
  const { opened, file } = openHashedAdapter(openModel(at.path, at.acceptFields), adapterPath);
  return describeAdapter(opened.adapter, file);
}
