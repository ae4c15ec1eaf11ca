/** Refuses paths, names and weights that cannot be used. */
import { isAbsolute } from 'node:path';
import type { AdapterWeight } from '../contract.ts';
import { longestName, Problem } from '../problem.ts';

/** Refuses a relative path, because the host runs in a folder of its own, where the path would mean something else. */
export function requireAbsolute(path: string): void {
  if (typeof path !== 'string' || !isAbsolute(path))
    throw new Problem('request-invalid', `The path '${path}' is not absolute.`, 'Use an absolute path.');
}

/**
 * Returns a name without the space around it. Refuses one that is empty or too long; `what` is the kind of thing in the
 * Problem.
 */
export function requireName(name: string, what: string): string {
  const trimmed = name.trim();
  if (trimmed === '') throw new Problem('request-invalid', `The ${what} needs a name.`, 'Enter a name.');
  if (trimmed.length > longestName)
    throw new Problem(
      'request-invalid',
      `The name of the ${what} is ${trimmed.length} characters long.`,
      `Use at most ${longestName} characters.`,
    );
  return trimmed;
}

export function requireWeight({ path, weight }: AdapterWeight): void {
  requireAbsolute(path);
  if (!Number.isFinite(weight))
    throw new Problem('request-invalid', `The weight of ${path} is not a number.`, 'Use a number such as 1.');
}
