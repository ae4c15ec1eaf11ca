/** `lowrank train` trains an adapter. */
import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import type { DataFiles, EngineRequests, Params, Run } from '../contract.ts';
import { requireDay } from '../data/day.ts';
import { partTotals } from '../measures.ts';
import { Problem } from '../problem.ts';
import type { Recipe } from '../recipe.ts';
import type { HostClient } from '../rpc.ts';
import {
  type Arguments,
  dataUsage,
  Interrupted,
  mapOptions,
  mixOptions,
  modelOptions,
  rowOptions,
  rowUsage,
  UsageError,
  type Command,
} from './command.ts';
import { bytes, duration, type Output } from './output.ts';
import { dataOf } from './mix.ts';
import { readRecipe } from './recipe.ts';
import { splitChange } from './write-rows.ts';

export const train: Command = {
  usage: `--model PATH [--accept-field NAME]... ${dataUsage} [--eval FILE... | --eval-fraction 0.1 [--eval-seed 0] [--eval-by COLUMN]] [--map question=COLUMN,answer=COLUMN] [--adapter DIR] [--recipe FILE.json] [--set key=value]... ${rowUsage} [--date YYYY-MM-DD] --out DIR [--name NAME] [--device auto|cpu|cuda|dml|webgpu] [--skip-bad-rows] [--fit-memory SIZE] [--resume]`,
  summary: 'trains an adapter; leaves adapter/, metrics.jsonl, run.json and checkpoints/ in DIR',
  options: {
    ...modelOptions,
    ...rowOptions,
    ...mapOptions,
    ...mixOptions,
    date: { type: 'string' },
    data: { type: 'string', multiple: true },
    eval: { type: 'string', multiple: true },
    'eval-fraction': { type: 'string' },
    'eval-seed': { type: 'string' },
    'eval-by': { type: 'string' },
    adapter: { type: 'string' },
    recipe: { type: 'string' },
    set: { type: 'string', multiple: true },
    out: { type: 'string' },
    device: { type: 'string' },
    name: { type: 'string' },
    'skip-bad-rows': { type: 'boolean' },
    'fit-memory': { type: 'string' },
    resume: { type: 'boolean' },
  },
  lists: ['data', 'eval', 'mix'],
  async run({ args, output, connect, onInterrupt }) {
    const model = args.model();
    const evalPaths = args.list('eval').map((path) => resolve(path));
    const data = { ...dataOf(args, evalPaths), ...heldBack(args, evalPaths) };
    const out = args.path('out');
    const device = args.oneOf('device', ['auto', 'cpu', 'cuda', 'dml', 'webgpu'], 'auto');
    const adapter = args.text('adapter');
    const name = args.text('name');
    if (args.positionals.length > 0) throw new UsageError(`'${args.positionals[0]}' was not expected.`);
    const date = args.text('date');
    const given = { ...readRecipe(args), ...args.rowSettings(), ...(date === undefined ? {} : { date: requireDay(date) }) };
    const size = args.text('fit-memory');
    const budget = size === undefined ? null : parseSize(size);
    if (budget !== null && args.flag('resume'))
      throw new UsageError('--fit-memory is for a new run; a resumed run keeps its recipe.');
    const client = await connect();
    const recipe = budget === null ? given : await fittedRecipe(client, { model, data, recipe: given, budget }, output);
    const run = await client.request('runs.start', {
      model,
      data,
      ...(adapter === undefined ? {} : { adapter: { path: resolve(adapter) } }),
      ...(name === undefined ? {} : { name }),
      recipe,
      out,
      device,
      skipBadRows: args.flag('skip-bad-rows'),
      resume: args.flag('resume'),
      attached: true,
    });
    onInterrupt(() => {
      output.message('Stopping. Press Ctrl-C again to end immediately.');
      client.request('runs.stop', { id: run.id }).catch(() => {});
    });
    const ended = await followRun(client, run.id, output);
    if (ended.state !== 'done') {
      const how = ended.state === 'paused' ? 'Paused' : 'Stopped';
      throw new Interrupted(
        existsSync(join(out, 'checkpoints'))
          ? `${how} at step ${ended.step} of ${ended.totalSteps}. Continue with --resume.`
          : `${how} before the first step, so there is nothing to resume. Start the run again.`,
      );
    }
    const { step, lastLoss, measures, seconds, trainableParameters, recipe: full } = ended;
    const evalLoss = measures.loss?.last ?? null;
    output.document({
      out,
      adapter: join(out, 'adapter'),
      runId: ended.id,
      ...{ steps: step, loss: lastLoss, evalLoss, seconds, trainableParameters, recipe: full },
    });
    output.line(`adapter     ${join(out, 'adapter')}`);
    output.line(`steps       ${step} in ${duration(seconds)}`);
    if (lastLoss !== null) output.line(`loss        ${lastLoss.toFixed(4)}`);
    if (evalLoss !== null) output.line(`eval loss   ${evalLoss.toFixed(4)}`);
    for (const [part, { last }] of partTotals(measures)) output.line(`            ${last.toFixed(4)} on ${part}`);
    output.line(`parameters  ${trainableParameters} trained`);
  },
};

/** Returns the change that holds rows of `--data` back for evaluation, where an option asks for it. */
function heldBack(args: Arguments, evalPaths: readonly string[]): Pick<DataFiles, 'changes'> {
  if (args.text('eval-fraction') === undefined) {
    const alone = ['eval-seed', 'eval-by'].find((name) => args.text(name) !== undefined);
    if (alone !== undefined) throw new UsageError(`--${alone} needs --eval-fraction.`);
    return {};
  }
  if (evalPaths.length > 0) throw new UsageError('Give either --eval or --eval-fraction.');
  return { changes: [splitChange(args, { fraction: 'eval-fraction', seed: 'eval-seed', by: 'eval-by' })] };
}

/** Reads a size such as `900MB`, `4GB` or `3.5 GiB`, or a number of bytes. */
function parseSize(text: string): number {
  const [, number, unit = ''] = /^(\d+(?:\.\d+)?)\s*([KMGT]i?B?|B)?$/i.exec(text.trim()) ?? [];
  if (number === undefined) throw new UsageError(`--fit-memory takes a size such as 4GB, not '${text}'.`);
  const power = 'BKMGT'.indexOf((unit.charAt(0) || 'B').toUpperCase());
  return Math.round(Number(number) * (/i/i.test(unit) ? 1024 : 1000) ** power);
}

/** Returns the recipe changed until it fits, each change said with what it costs. */
async function fittedRecipe(client: HostClient, request: Params<EngineRequests, 'runs.fit'>, output: Output): Promise<Recipe> {
  const { recipe, bytes: needed, fits, changes } = await client.request('runs.fit', request);
  if (!fits)
    throw new Problem(
      'out-of-memory',
      `A run takes at least ${bytes(needed)}, more than ${bytes(request.budget)}.`,
      'Give it more, or choose a smaller model or a lower rank.',
    );
  output.message(`Estimated to take ${bytes(needed)}${changes.length === 0 ? '; nothing needs to change.' : '.'}`);
  for (const { key, from, to, cost } of changes) output.message(`${key}: ${from} -> ${to}. ${cost}`);
  return recipe;
}

/** Shows a run until it ends. Throws the Problem of a run that failed. */
export async function followRun(client: HostClient, id: string, output: Output): Promise<Run> {
  const { promise, resolve: settle, reject } = Promise.withResolvers<Run>();
  let hasEnded = false;
  const look = (run: Run) => {
    if (run.id !== id || run.state === 'queued' || run.state === 'running') return;
    hasEnded = true;
    if (run.state === 'failed' || run.state === 'interrupted')
      reject(
        run.problem === null
          ? new Problem('job-crashed', 'The run was interrupted.', 'Continue it with --resume.')
          : Problem.fromValue(run.problem),
      );
    else settle(run);
  };
  let loss = '';
  const ends = [
    client.on('run.changed', look),
    client.on('run.metrics', ({ runId, steps }) => {
      if (runId !== id) return;
      const last = steps.at(-1);
      if (last !== undefined) loss = `loss ${last.loss.toFixed(4)}`;
    }),
    client.on('job.progress', ({ subjectId, progress }) => {
      if (subjectId === id) output.progress(progress, loss);
    }),
    client.on('run.log', ({ runId, line }) => {
      // The last line says why the run ended, which the command itself reports.
      if (runId === id && !hasEnded) output.message(line.text);
    }),
  ];
  client.onClose(() =>
    reject(new Problem('host-unreachable', 'The connection to the engine was lost.', 'Continue with --resume.')),
  );
  try {
    const run = await client.request('runs.get', { id });
    // Another run trains, or devices are being tried for this one.
    if (run.state === 'queued') output.message(`${run.phase}.`);
    look(run);
    return await promise;
  } finally {
    for (const end of ends) end();
    output.end();
  }
}
