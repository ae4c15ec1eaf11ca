/** Reads what the newest session of a run has left in events.jsonl. */
import type { StepMetrics } from '../contract.ts';
import { readNews } from '../jobs/run-news.ts';
import type { RunEvent } from '../jobs/run-folder.ts';

export function eventsOf<T extends RunEvent['type']>(out: string, type: T): Extract<RunEvent, { type: T }>[] {
  const { events } = readNews(out, { metrics: 0, events: 0 });
  const session = events.slice(events.findLastIndex((event) => event.type === 'begin'));
  return session.filter((event): event is Extract<RunEvent, { type: T }> => event.type === type);
}

/** Returns the lines that it has said. */
export const saidIn = (out: string): string[] => eventsOf(out, 'log').map(({ text }) => text);

/** Returns every step of the run so far. */
export const stepsOf = (out: string): readonly StepMetrics[] => readNews(out, { metrics: 0, events: 0 }).steps;
