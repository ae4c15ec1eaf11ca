/**
 * Handles the day that a chat template prints. A run records its day when it begins and uses it for every rendering, so that a
 * resumed run produces the same tokens. It is a day, not a time: rows rendered a minute apart must not differ, and a time would
 * fall on another day in another time zone.
 */
import { Problem } from '../problem.ts';
import { isDay } from '../recipe/field.ts';

/** A day is written as `2026-07-15`. */
export type Day = string;

/** Returns the local calendar day of a time in UTC milliseconds. */
export function dayOf(time: number): Day {
  return new Date(localTimeAt(time)).toISOString().slice(0, 10);
}

export function today(): Day {
  return dayOf(Date.now());
}

/**
 * Returns what a local clock shows, as the UTC milliseconds of the same reading: midnight of `day`, or now where no day is
 * given.
 */
export function localTime(day: Day | undefined): number {
  return day === undefined ? localTimeAt(Date.now()) : Date.parse(`${requireDay(day)}T00:00:00.000Z`);
}

function localTimeAt(time: number): number {
  return time - 60_000 * new Date(time).getTimezoneOffset();
}

/** Returns a value as a day. Throws a `Problem` if it is not one. */
export function requireDay(day: unknown): Day {
  if (isDay(day)) return day;
  throw new Problem('request-invalid', `'${String(day)}' is no day.`, 'Write it as 2026-07-15.');
}
