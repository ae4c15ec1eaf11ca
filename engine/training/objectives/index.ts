/** Lists the objectives by their names in TRL. */
import type { Objective } from './objective.ts';
import { sft } from './sft.ts';

export const objectives = { sft } satisfies Record<string, Objective>;
