/** Scores with the evaluator `script`: an expression or a small file of JavaScript that a person wrote. */
import { MessageChannel, type MessagePort, receiveMessageOnPort, Worker } from 'node:worker_threads';
import { answerKind, graded, unscored } from './evaluator.ts';
import { Problem } from '../problem.ts';
import type { ScriptAnswer, ScriptSetup } from './script-worker.ts';

const name = 'script';
const memoryMb = 64;

export const script = answerKind({
  name,
  summary: 'what your own JavaScript says, from 0 to 1 or true or false',
  options: {
    code: {
      kind: 'text',
      help: 'is an expression with question, expected and answer in it, or code that defines score({ question, expected, answer }); it returns a number from 0 to 1, true or false, or null for a row that does not count',
    },
    milliseconds: { kind: 'integer', least: 1, otherwise: 1000, help: 'limits the time for one row' },
  },
  open({ code, milliseconds }) {
    let thread = new ScriptThread(code, milliseconds);
    const { first } = thread;
    if (first === null || 'problem' in first)
      throw new Problem(
        'request-invalid',
        `The code of '${name}' cannot be used: ${first === null ? 'it did not end' : first.problem}.`,
        'Correct it, and try it on a row.',
      );
    return {
      score({ question, expected }, answer) {
        const result = thread.ask({ question, expected, answer });
        if (result === null) {
          thread = new ScriptThread(code, milliseconds);
          return unscored('the script was ended');
        }
        return 'problem' in result ? unscored(`the script failed: ${result.problem}`) : scored(JSON.parse(result.json));
      },
    };
  },
});

function scored(value: unknown) {
  if (value === null) return null;
  const number = typeof value === 'boolean' ? Number(value) : value;
  if (typeof number !== 'number' || !(number >= 0 && number <= 1)) return unscored('the script returned no number from 0 to 1');
  return graded(name, number, typeof value === 'boolean' ? (value ? 'passes' : 'fails') : number.toFixed(2));
}

/** Gives the milliseconds that the thread may take to start, on a busy machine. */
const startMs = 20_000;
/** Gives the milliseconds beyond the limit of a row after which the thread itself is ended, as when its memory has run out. */
const graceMs = 4000;

/** Runs the code of a person in a thread, and waits for it. */
class ScriptThread {
  readonly #worker: Worker;
  readonly #port: MessagePort;
  readonly #answered = new Int32Array(new SharedArrayBuffer(4));
  readonly #milliseconds: number;
  /** Says whether the code can be run, or is null where that did not end. */
  readonly first: ScriptAnswer | null;

  constructor(code: string, milliseconds: number) {
    const { port1, port2 } = new MessageChannel();
    this.#port = port1;
    this.#milliseconds = milliseconds;
    const setup: ScriptSetup = { port: port2, answered: this.#answered, code, milliseconds };
    this.#worker = new Worker(new URL('./script-worker.ts', import.meta.url), {
      workerData: setup,
      transferList: [port2],
      env: {},
      execArgv: [],
      resourceLimits: { maxOldGenerationSizeMb: memoryMb, maxYoungGenerationSizeMb: 16, stackSizeMb: 2 },
    });
    // A thread that dies of its limits needs no handling here, because whoever waits for it notices.
    this.#worker.on('error', () => {});
    this.#worker.unref();
    port1.unref();
    this.first = this.#wait(startMs + milliseconds);
  }

  /** Returns what the code says of a row, or null where the thread had to be ended; another one is needed then. */
  ask(row: { readonly question: string; readonly expected: string; readonly answer: string }): ScriptAnswer | null {
    Atomics.store(this.#answered, 0, 0);
    this.#port.postMessage(JSON.stringify(row));
    return this.#wait(this.#milliseconds + graceMs);
  }

  #wait(milliseconds: number): ScriptAnswer | null {
    if (Atomics.load(this.#answered, 0) === 0) Atomics.wait(this.#answered, 0, 0, milliseconds);
    const received = Atomics.load(this.#answered, 0) === 0 ? undefined : receiveMessageOnPort(this.#port);
    if (received !== undefined) return received.message as ScriptAnswer;
    void this.#worker.terminate();
    this.#port.close();
    return null;
  }
}
