/** What a command of the command line is, and what it is handed. */
import { resolve } from 'node:path';
import type { ParseArgsConfig } from 'node:util';
import type { DataFiles, ModelAt } from '../contract.ts';
import type { Problem } from '../problem.ts';
import type { RowSettings } from '../recipe.ts';
import type { HostClient } from '../rpc.ts';
import type { Output } from './output.ts';

export interface Command {
  /** Behind `lowrank <name>` in the help. */
  readonly usage: string;
  readonly summary: string;
  readonly options: NonNullable<ParseArgsConfig['options']>;
  /** Options that take all values up to the next option. */
  readonly lists?: readonly string[];
  run(session: Session): Promise<void>;
}

export interface Session {
  readonly args: Arguments;
  readonly output: Output;
  readonly dataDir: string;
  /** Connects to the engine, and starts it when nobody has. */
  connect(): Promise<HostClient>;
  /** What Ctrl-C does instead of ending at once; a second Ctrl-C ends at once. */
  onInterrupt(listener: () => void): void;
}

/** How every command names the model it works on. */
export const modelOptions = {
  model: { type: 'string' },
  'accept-field': { type: 'string', multiple: true },
} as const;

/** How the rows of `--data` are read, where no recipe says it. */
export const rowOptions = { 'no-add-eos-token': { type: 'boolean' } } as const;

/** The command line cannot be understood: exit status 2. */
export class UsageError extends Error {}
/** Ended by the user after everything worth keeping was saved: exit status 130. */
export class Interrupted extends Error {}

/** Ends a command with a problem that its result shows: exit status 1. With `--json` both are one document. */
export class ProblemInResult extends Error {
  readonly problem: Problem;
  readonly result: object;

  constructor(problem: Problem, result: object) {
    super(problem.message);
    this.problem = problem;
    this.result = result;
  }
}

/** Options and positional arguments of one call, read by name. */
export class Arguments {
  readonly positionals: readonly string[];
  readonly #values: Readonly<Record<string, string | boolean | (string | boolean)[] | undefined>>;

  constructor(
    values: Readonly<Record<string, string | boolean | (string | boolean)[] | undefined>>,
    positionals: readonly string[],
  ) {
    this.#values = values;
    this.positionals = positionals;
  }

  flag(name: string): boolean {
    return this.#values[name] === true;
  }
  text(name: string): string | undefined {
    const value = this.#values[name];
    return typeof value === 'string' ? value : undefined;
  }
  required(name: string): string {
    const value = this.text(name);
    if (value === undefined) throw new UsageError(`--${name} is missing.`);
    return value;
  }
  list(name: string): string[] {
    const value = this.#values[name];
    return Array.isArray(value) ? value.filter((item) => typeof item === 'string') : [];
  }
  requiredList(name: string): string[] {
    const values = this.list(name);
    if (values.length === 0) throw new UsageError(`--${name} is missing.`);
    return values;
  }
  /** The engine runs elsewhere: every path it is given is whole. */
  path(name: string): string {
    return resolve(this.required(name));
  }
  /** Files of rows, of which there must be one. */
  files(name: string): DataFiles {
    return { paths: this.requiredList(name).map((path) => resolve(path)) };
  }
  /** What `modelOptions` say. */
  model(): ModelAt {
    return { path: this.path('model'), acceptFields: this.list('accept-field') };
  }
  /** What `rowOptions` say: nothing where they are left out. */
  rowSettings(): Partial<RowSettings> {
    return this.flag('no-add-eos-token') ? { addEosToken: false } : {};
  }
  number(name: string, otherwise: number, { min, integer }: { min: number; integer: boolean }): number {
    const text = this.text(name);
    if (text === undefined) return otherwise;
    const value = Number(text);
    if (text.trim() === '' || !Number.isFinite(value) || value < min || (integer && !Number.isInteger(value)))
      throw new UsageError(`--${name} must be a ${integer ? 'whole ' : ''}number from ${min}, not '${text}'.`);
    return value;
  }
  oneOf<T extends string>(name: string, choices: readonly T[], otherwise: T): T {
    const text = this.text(name) ?? otherwise;
    const found = choices.find((choice) => choice === text);
    if (found === undefined) throw new UsageError(`--${name} must be one of ${choices.join(', ')}, not '${text}'.`);
    return found;
  }
}
