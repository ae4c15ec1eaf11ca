/** Job `describe`: reads an adapter from elsewhere whole against its base, refuses what has no place there or is damaged, and says what it is. */
import { openHashedAdapter } from '../adapters/adapted.ts';
import { describeAdapter } from '../adapters/folder.ts';
import type { AdapterDescription, JobSpec } from '../contract.ts';
import { openModel } from '../models/open.ts';

type DescribeSpec = Extract<JobSpec, { kind: 'describe' }>;

export function runDescribe({ model: at, adapterPath }: DescribeSpec): AdapterDescription {
  const { opened, file } = openHashedAdapter(openModel(at.path, at.acceptFields), adapterPath);
  return describeAdapter(opened.adapter, file);
}
