/** Job `describe`: what an adapter is, once all of it was read against its base: what has no place there is found, and what is damaged. */
import { statSync } from 'node:fs';
import { openAdapter } from '../adapters/adapted.ts';
import { adapterFile } from '../adapters/find.ts';
import { adapterHash } from '../adapters/folder.ts';
import type { AdapterDescription, JobSpec } from '../contract.ts';
import { openModel } from '../models/open.ts';

type DescribeSpec = Extract<JobSpec, { kind: 'describe' }>;

export async function runDescribe({ model: at, adapterPath }: DescribeSpec): Promise<AdapterDescription> {
  const { config, shape } = openAdapter(openModel(at.path, at.acceptFields), adapterPath).adapter;
  return {
    rank: config.rank,
    alpha: config.alpha,
    targetModules: [...new Set(shape.modules.map((module) => module.path.slice(module.path.lastIndexOf('.') + 1)))],
    parameters: shape.length,
    bytes: statSync(adapterFile(adapterPath).weights).size,
    hash: await adapterHash(adapterPath),
  };
}
