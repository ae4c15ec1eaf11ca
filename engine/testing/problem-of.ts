/** Tells the Problem that something is refused with. */
import { Problem } from '../problem.ts';

/** Returns the Problem that `action` throws. Throws what else it throws, and an Error where it throws nothing. */
export function problemOf(action: () => unknown): Problem {
  try {
    action();
  } catch (error) {
    if (error instanceof Problem) return error;
    throw error;
  }
  throw new Error('nothing was refused');
}
