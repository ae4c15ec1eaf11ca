/** Lists the commands. */
import { adapters } from './adapters.ts';
import type { Command } from './command.ts';
import { data } from './data.ts';
import { demo } from './demo.ts';
import { devices } from './devices.ts';
import { evaluate } from './evaluate.ts';
import { exportCommand } from './export.ts';
import { generate } from './generate.ts';
import { inspect } from './inspect.ts';
import { merge } from './merge.ts';
import { runs } from './runs.ts';
import { serve } from './serve.ts';
import { train } from './train.ts';

/** Maps the name that is typed to each command, in the order of the help. */
export const commands: Readonly<Record<string, Command>> = {
  train,
  evaluate,
  generate,
  serve,
  merge,
  export: exportCommand,
  data,
  inspect,
  devices,
  runs,
  adapters,
  demo,
};
/** Every command takes these options. */
export const globalOptions = {
  'data-dir': { type: 'string' },
  json: { type: 'boolean' },
  help: { type: 'boolean', short: 'h' },
} as const;
