/**
 * Runs an evaluator that a person wrote, in a thread of its own. The code gets a row as JSON and returns JSON, in a context
 * without Node's objects: it finds no file, no network, no process and no timer. `vm` is no wall against code that is meant to
 * break out, so a person is told to run only code they would run themselves.
 */
import { createContext, Script } from 'node:vm';
import { type MessagePort, workerData } from 'node:worker_threads';

export interface ScriptSetup {
  readonly port: MessagePort;
  /** Is set to 1 and notified when an answer is ready. The first one says whether the code can be run at all. */
  readonly answered: Int32Array<SharedArrayBuffer>;
  readonly code: string;
  /** Limits the milliseconds of one row. */
  readonly milliseconds: number;
}
/** Holds what the code returned, as JSON, or says why it did not. */
export type ScriptAnswer = { readonly json: string } | { readonly problem: string };

const { port, answered, code, milliseconds } = workerData as ScriptSetup;
// Nothing of this thread's own goes into the context, because each object leads to the constructor of its functions.
const context = createContext(Object.create(null) as object, { codeGeneration: { strings: false, wasm: false } });
const problem = prepare();

/** Makes `score` of the code in the context: it defines a function of that name, or is an expression. */
function prepare(): string | null {
  const run = (source: string): unknown => new Script(source).runInContext(context, { timeout: milliseconds });
  try {
    run(code);
    if (run('typeof score') === 'function') return null;
  } catch {
    // An expression fails here, because its row is not there yet.
  }
  try {
    run(`globalThis.score = ({ question, expected, answer }) => (${code}\n);`);
    return null;
  } catch (error) {
    return messageOf(error);
  }
}

function answer(row: string): ScriptAnswer {
  try {
    const script = new Script(`JSON.stringify(score(JSON.parse(${JSON.stringify(row)})) ?? null)`);
    const json = script.runInContext(context, { timeout: milliseconds }) as unknown;
    return typeof json === 'string' ? { json } : { problem: 'it returned nothing that JSON knows' };
  } catch (error) {
    return { problem: messageOf(error) };
  }
}

function messageOf(error: unknown): string {
  try {
    return String((error as { readonly message?: unknown } | null)?.message ?? error).slice(0, 300);
  } catch {
    return 'it threw something that cannot be shown';
  }
}

function tell(message: ScriptAnswer): void {
  port.postMessage(message);
  Atomics.store(answered, 0, 1);
  Atomics.notify(answered, 0);
}

port.on('message', (row: string) => tell(answer(row)));
tell(problem === null ? { json: 'null' } : { problem });
