/** Runs work with a limit of time in this thread, as patterns and schemas of people need it. */
import { createContext, Script } from 'node:vm';

const context = createContext({ work: null as unknown });
const script = new Script('work()');

/** Gives the most milliseconds that one pattern or schema may take for one answer. */
export const longestMs = 1000;

/**
 * Returns what `work` returns, or null when it took longer than `milliseconds`. V8 ends work that is in a loop or goes through
 * a regular expression, whoever wrote it. `work` must not wait for anything.
 */
export function within<T>(work: () => T, milliseconds = longestMs): { readonly value: T } | null {
  context['work'] = work;
  try {
    return { value: script.runInContext(context, { timeout: milliseconds }) as T };
  } catch (error) {
    // The error is made in the other context, so it is no instance of this one's Error.
    if ((error as { code?: unknown } | null)?.code === 'ERR_SCRIPT_EXECUTION_TIMEOUT') return null;
    throw error;
  } finally {
    context['work'] = null;
  }
}
