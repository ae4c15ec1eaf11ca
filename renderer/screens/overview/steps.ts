/** Describes the way from a model to an export as steps that a project has taken or not. */
import Box from '@lucide/svelte/icons/box';
import Package from '@lucide/svelte/icons/package';
import Play from '@lucide/svelte/icons/play';
import Rows3 from '@lucide/svelte/icons/rows-3';
import type { Component } from 'svelte';
import type { Studio } from '../../state/studio.svelte.ts';

export interface Step {
  readonly done: boolean;
  readonly text: string;
  readonly icon: Component;
  /** Gives the id of the command that takes the step. */
  readonly command: string;
}

/** Lists the steps in order, each with whether the open project has taken it. */
export function stepsOf({ models, datasets, runs, exports }: Studio): readonly Step[] {
  return [
    { done: models.list.items.length > 0, text: 'Open a model', icon: Box, command: 'open-model' },
    { done: datasets.list.items.length > 0, text: 'Import data', icon: Rows3, command: 'import-data' },
    { done: runs.list.items.length > 0, text: 'Train an adapter', icon: Play, command: 'new-run' },
    {
      done: exports.list.items.some((item) => item.state === 'done'),
      text: 'Export with proof',
      icon: Package,
      command: 'go.exports',
    },
  ];
}
