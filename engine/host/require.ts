/** Refuses paths, names and weights that cannot be used. */
import { isAbsolute } from 'node:path';
import type { AdapterWeight } from '../contract.ts';
import { longestName, Problem } from '../problem.ts';

/** Refuses a relative path, because the host runs in a folder of its own, where the path would mean something else. */
export function requireAbsolute(path: string): void {
  if (typeof path !== 'string' || !isAbsolute(path))
    throw new Problem('request-invalid', `The path '${path}' is not absolute.`, 'Give the whole path.');
}

/**
 * Returns a name without the space around it. Refuses one that is empty or too long; `what` is the kind of thing in the
 * Problem.
 */
export function requireName(name: string, what: string): string {
  const trimmed = name.trim();
  if (trimmed === '') throw new Problem('request-invalid', `The ${what} needs a name.`, 'Type one.');
  if (trimmed.length > longestName)
    throw new Problem(
      'request-invalid',
      `The name of the ${what} has ${trimmed.length} characters.`,
      `Give one of at most ${longestName}.`,
    );
  return trimmed;
}

export function requireWeight({ path, weight }: AdapterWeight): void {
  requireAbsolute(path);
  if (!Number.isFinite(weight))
    throw new Problem('request-invalid', `The weight of ${path} is no number.`, 'Give a number such as 1.');
}
