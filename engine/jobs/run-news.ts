/** Reads what is new in the folder of a run, whichever process writes it. */
import { basename } from 'node:path';
import type { EvalMetrics, StepMetrics } from '../contract.ts';
import { readLines } from './line-file.ts';
import { eventsIn, metricsIn, type RunEvent } from './run-folder.ts';

/** Says how far the folder has been read, in bytes of each file. */
export interface RunPosition {
  readonly metrics: number;
  readonly events: number;
}

export interface RunNews {
  readonly steps: readonly StepMetrics[];
  readonly evaluations: readonly EvalMetrics[];
  readonly events: readonly RunEvent[];
  /** Counts the lines that are of none of these kinds. They are reported to a person. */
  readonly unreadable: number;
  readonly position: RunPosition;
  /** Says whether there is more to read. */
  readonly more: boolean;
}

/**
 * Reads about a megabyte of what was added after `from`. If the run has begun again meanwhile, metrics are read from the start
 * of their file, and known ones are returned again. Throws a `Problem` for a line that never ends.
 */
export function readNews(folder: string, from: RunPosition): RunNews {
  // Metrics are read first. The writer records that it cut them back before it adds to them, so the events reveal when the
  // metrics that were read have been cut.
  let metrics = readLines(metricsIn(folder), from.metrics);
  const events = readLines(eventsIn(folder), from.events);
  const readable = events.values.filter(isEvent);
  if (readable.some(({ type }) => type === 'begin')) metrics = readLines(metricsIn(folder), 0);
  const steps = metrics.values.filter(isStep);
  const evaluations = metrics.values.filter(isEvaluation);
  const read = readable.length + steps.length + evaluations.length;
  return {
    ...{ steps, evaluations, events: readable },
    unreadable: events.values.length + metrics.values.length - read,
    position: { metrics: metrics.position, events: events.position },
    more: metrics.more || events.more,
  };
}

const countsOfStep = ['step', 'supervisedTokens', 'tokens', 'memory'] as const;
const numbersOfStep = ['loss', 'learningRate', 'gradientNorm', 'seconds', 'epoch'] as const;

const isObject = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null;
const isNumber = (value: unknown): value is number => Number.isFinite(value);
const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;
const isText = (value: unknown): value is string => typeof value === 'string';

function isStep(row: unknown): row is StepMetrics {
  if (!isObject(row)) return false;
  const measures = row['measures'] ?? {};
  return (
    countsOfStep.every((name) => isCount(row[name])) &&
    numbersOfStep.every((name) => isNumber(row[name])) &&
    isObject(measures) &&
    Object.values(measures).every(isNumber)
  );
}

function isEvaluation(row: unknown): row is EvalMetrics {
  return isObject(row) && isCount(row['step']) && isNumber(row['evalLoss']);
}

function isEvent(event: unknown): event is RunEvent {
  if (!isObject(event) || !isNumber(event['at'])) return false;
  switch (event['type'] as RunEvent['type']) {
    case 'begin':
      return isCount(event['step']) && isCount(event['longest']);
    case 'log':
      return isText(event['text']);
    case 'sample': {
      const { sample } = event;
      return isObject(sample) && isCount(sample['step']) && isCount(sample['prompt']) && areTexts(sample);
    }
    case 'checkpoint':
      return isCount(event['step']) && isCount(event['bytes']) && isName(event['name']);
    case 'adapter':
      return isCount(event['step']) && isNumber(event['evalLoss'] ?? 0) && isDescription(event['adapter']);
    case 'end':
      return ['done', 'stopped', 'failed'].includes(event['state'] as string) && isProblem(event['problem']);
    default:
      return false;
  }
}

const areTexts = (sample: Record<string, unknown>): boolean =>
  ['promptText', 'expected', 'text'].every((name) => isText(sample[name]));

function isDescription(adapter: unknown): boolean {
  if (!isObject(adapter)) return false;
  const { rank, alpha, targetModules, parameters, bytes, hash, configHash = null } = adapter;
  const names = Array.isArray(targetModules) && targetModules.every(isText);
  return (
    names &&
    [rank, parameters, bytes].every(isCount) &&
    isNumber(alpha) &&
    isText(hash) &&
    (configHash === null || isText(configHash))
  );
}

/** Returns whether a name is that of a checkpoint's folder, which can only be directly in the run's folder of checkpoints. */
const isName = (name: unknown): boolean => isText(name) && name === basename(name) && !['', '.', '..'].includes(name);

const isProblem = (problem: unknown): boolean =>
  problem === null || (isObject(problem) && ['code', 'message', 'hint'].every((name) => isText(problem[name])));
