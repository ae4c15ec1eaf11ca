/**
 * Collects the types of every message that crosses a process border, with one file per domain in `contract/`: window and
 * command line to the engine host (requests and events), window to the shell (`shell.` requests), host to a job process
 * (`JobSpec`, `JobCommand`, `JobMessage`). Times are UTC milliseconds; durations are seconds; sizes are bytes. All values are
 * JSON.
 */
export type { MixMethod } from './mix-methods.ts';
export type { ColumnMapping, MappedText } from './mapped-text.ts';
export type { Answer, ProblemValue } from './problem.ts';
export type * from './contract/adapters.ts';
export type * from './contract/answers.ts';
export type * from './contract/data.ts';
export type * from './contract/evaluation-report.ts';
export type * from './contract/evaluations.ts';
export type * from './contract/exports.ts';
export type * from './contract/jobs.ts';
export type * from './contract/machine.ts';
export type * from './contract/models.ts';
export type * from './contract/runs.ts';
export type * from './contract/serve.ts';
export type * from './contract/shell.ts';
export type * from './contract/wire.ts';
