/** Says which component draws which screen. */
import type { Component } from 'svelte';
import type { ScreenName } from '../state/router.svelte.ts';
import Adapters from './adapters/Adapters.svelte';
import Compare from './compare/Compare.svelte';
import Datasets from './datasets/Datasets.svelte';
import Evaluate from './evaluate/Evaluate.svelte';
import Exports from './exports/Exports.svelte';
import FirstStart from './first-start/FirstStart.svelte';
import Lesson from './lesson/Lesson.svelte';
import Models from './models/Models.svelte';
import NewRun from './new-run/NewRun.svelte';
import Overview from './overview/Overview.svelte';
import Playground from './playground/Playground.svelte';
import Run from './run/Run.svelte';
import Runs from './runs/Runs.svelte';

export const screens: Readonly<Record<ScreenName, Component>> = {
  'first-start': FirstStart,
  overview: Overview,
  models: Models,
  datasets: Datasets,
  runs: Runs,
  'new-run': NewRun,
  run: Run,
  compare: Compare,
  evaluate: Evaluate,
  adapters: Adapters,
  lesson: Lesson,
  playground: Playground,
  exports: Exports,
};
