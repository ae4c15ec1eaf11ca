/**
 * The day that a chat template prints. A run has one: it is recorded when the run begins and goes into every rendering of its rows, so that
 * they become the same tokens whenever it goes on. It is a day and not a moment, because rows that are rendered a minute apart must not
 * differ either, and because a moment would be another day in another time zone.
 */
import { Problem } from '../problem.ts';
import { isDay } from '../recipe.ts';

/** `2026-07-15` */
export type Day = string;

/** The day of the calendar here at a time in UTC milliseconds. */
export function dayOf(time: number): Day {
  return new Date(wallClockOf(time)).toISOString().slice(0, 10);
}

export function today(): Day {
  return dayOf(Date.now());
}

/** What a clock on the wall shows, as the milliseconds that it would be in UTC: the beginning of the day, or now where there is none. */
export function wallClock(day: Day | undefined): number {
  return day === undefined ? wallClockOf(Date.now()) : Date.parse(`${requireDay(day)}T00:00:00.000Z`);
}

function wallClockOf(time: number): number {
  return time - 60_000 * new Date(time).getTimezoneOffset();
}

/** The day that is written so; refuses what is none. */
export function requireDay(day: unknown): Day {
  if (isDay(day)) return day;
  throw new Problem('request-invalid', `'${String(day)}' is no day.`, 'Write it as 2026-07-15.');
}
