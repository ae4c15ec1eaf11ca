/** Defines what a command of the command line is, and what it is given. */
import { resolve } from 'node:path';
import type { ParseArgsConfig } from 'node:util';
import type { ColumnMapping, DataFiles, ModelAt } from '../contract.ts';
import { isHubName } from '../data-files.ts';
import { readMapping } from '../data/mapping.ts';
import type { Problem } from '../problem.ts';
import type { RowSettings } from '../recipe.ts';
import type { HostClient } from '../rpc.ts';
import type { Output } from './output.ts';

export interface Command {
  /** Follows `lowrank <name>` in the help. */
  readonly usage: string;
  readonly summary: string;
  readonly options: NonNullable<ParseArgsConfig['options']>;
  /** These options take all values up to the next option. */
  readonly lists?: readonly string[];
  run(session: Session): Promise<void>;
}

export interface Session {
  readonly args: Arguments;
  readonly output: Output;
  readonly dataDir: string;
  /** Connects to the engine, and starts it when it is not running. */
  connect(): Promise<HostClient>;
  /** Sets what Ctrl-C does instead of ending at once. A second Ctrl-C ends at once. */
  onInterrupt(listener: () => void): void;
}

/** With these options every command names the model it works on. */
export const modelOptions = {
  model: { type: 'string' },
  'accept-field': { type: 'string', multiple: true },
} as const;

/** These options say how the rows of `--data` are read where no recipe says it. */
export const rowOptions = {
  'no-add-eos-token': { type: 'boolean' },
  thinking: { type: 'string' },
  unroll: { type: 'string' },
  'fold-system': { type: 'boolean' },
  'drop-media': { type: 'boolean' },
} as const;
/** Gives the same options as the usage of a command has them. */
export const rowUsage = '[--no-add-eos-token] [--thinking row|on|off] [--unroll all|last|off] [--fold-system] [--drop-media]';

/** Says what the fields of `--data` mean, where no format says it. */
export const mapOptions = { map: { type: 'string' } } as const;

/** Several sets of rows in place of `--data`. */
export const mixOptions = { mix: { type: 'string', multiple: true }, 'mix-seed': { type: 'string' } } as const;
/** The same options as the usage of a command has them. */
export const dataUsage = '(--data FILE... | --mix FILE[=TIMES][,most=N][,eval=FILE]... [--mix-seed 0])';

/** A UsageError says that the command line cannot be understood. The exit status is 2. */
export class UsageError extends Error {}
/** Says that the user ended the command after everything worth keeping was saved. The exit status is 130. */
export class Interrupted extends Error {}

/** Ends a command with a problem that its result shows. The exit status is 1. With `--json` both are one document. */
export class ProblemInResult extends Error {
  readonly problem: Problem;
  readonly result: object;

  constructor(problem: Problem, result: object) {
    super(problem.message);
    this.problem = problem;
    this.result = result;
  }
}

/** Reads options and positional arguments of one call by name. */
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
  /** Returns the absolute path of an option, because the engine runs in another folder. */
  path(name: string): string {
    return resolve(this.required(name));
  }
  /** Returns the files of rows, of which there must be at least one. */
  files(name: string): DataFiles {
    const mapping = this.mapping();
    return {
      paths: this.requiredList(name).map((path) => (isHubName(path) ? path : resolve(path))),
      ...(mapping === undefined ? {} : { mapping }),
    };
  }
  /** Returns what `--map` says, if it is given. */
  mapping(): ColumnMapping | undefined {
    const map = this.text('map');
    return map === undefined ? undefined : readMapping(map);
  }
  /** Returns the model that `modelOptions` name. */
  model(): ModelAt {
    return { path: this.path('model'), acceptFields: this.list('accept-field') };
  }
  /** Returns what `rowOptions` say: nothing where they are left out. */
  rowSettings(): Partial<RowSettings> {
    const given = (name: string) => this.text(name) !== undefined;
    return {
      ...(this.flag('no-add-eos-token') ? { addEosToken: false } : {}),
      ...(given('thinking') ? { thinking: this.oneOf('thinking', ['row', 'on', 'off'], 'row') } : {}),
      ...(given('unroll') ? { unroll: this.oneOf('unroll', ['all', 'last', 'off'], 'all') } : {}),
      ...(this.flag('fold-system') ? { foldSystem: true } : {}),
      ...(this.flag('drop-media') ? { media: 'drop' } : {}),
    };
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
