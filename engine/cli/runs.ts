/** `lowrank runs` lists, shows and compares runs, and moves, pauses, resumes and stops them. */
import type { EvalMetrics, Run, StepMetrics } from '../contract.ts';
import { partTotals } from '../measures.ts';
import { Problem } from '../problem.ts';
import { formatFieldText } from '../recipe/field-text.ts';
import { recipeKeys } from '../recipe/fields.ts';
import { UsageError, type Command } from './command.ts';
import { duration } from './output.ts';

export const runs: Command = {
  usage: 'list | show RUN | compare RUN RUN... | queue | move RUN PLACE | pause RUN | resume RUN | stop RUN',
  summary: 'runs of this data folder; RUN is its name, its id or the beginning of it, PLACE its place in the queue, from 1',
  options: {},
  async run({ args, output, connect }) {
    const [what, ...names] = args.positionals;
    if (what === undefined || !known.includes(what)) throw new UsageError(`Choose one of ${known.join(', ')}.`);
    const place = what === 'move' ? placeOf(names.splice(1)) : 0;
    if (!['list', 'compare', 'queue'].includes(what) && names.length !== 1) throw new UsageError('Give one run.');
    if (what === 'compare' && names.length < 2) throw new UsageError('Give two runs or more.');
    const client = await connect();
    const all = await client.request('runs.list', {});

    if (what === 'list') {
      output.document(all.map(written));
      output.table([
        ['id', 'name', 'state', 'step', 'loss', 'eval loss', 'model'],
        ...all.map((run) => [
          run.id.slice(0, 8),
          run.name,
          run.state,
          stepsOf(run),
          number(run.lastLoss),
          number(run.measures.loss?.last),
          run.modelName,
        ]),
      ]);
      return;
    }
    if (what === 'queue' || what === 'move') {
      const order =
        what === 'move'
          ? await client.request('runs.move', { id: find(all, names[0]!).id, place })
          : await client.request('runs.queue', undefined);
      const going = order.flatMap((id) => all.find((run) => run.id === id) ?? []);
      output.document(going);
      const first = going.filter(({ state }) => state === 'running').length;
      output.table([
        ['place', 'id', 'name', 'state', 'model'],
        ...going.map((run, index) => [
          index < first ? '-' : String(index + 1 - first),
          ...[run.id.slice(0, 8), run.name, run.state, run.modelName],
        ]),
      ]);
      return;
    }
    const chosen = names.map((name) => find(all, name));
    if (what === 'pause' || what === 'resume' || what === 'stop') {
      const { id } = chosen[0]!;
      await client.request(`runs.${what}`, { id });
      const run = await client.request('runs.get', { id });
      output.document(written(run));
      output.line(`${run.name}  ${run.phase === '' ? run.state : run.phase}`);
      return;
    }
    if (what === 'show') {
      const [run] = chosen as [Run];
      const steps: StepMetrics[] = [];
      const evaluations: EvalMetrics[] = [];
      for (let more = true, afterStep = -1; more;) {
        const page = await client.request('runs.metrics', { id: run.id, afterStep });
        for (const step of page.steps) steps.push(step);
        for (const evaluation of page.evaluations) evaluations.push(evaluation);
        more = page.more;
        afterStep = Math.max(page.steps.at(-1)?.step ?? -1, page.evaluations.at(-1)?.step ?? -1);
      }
      const checkpoints = await client.request('runs.checkpoints', { id: run.id });
      output.document({ ...written(run), steps, evaluations, checkpoints });
      output.table([
        ['name', run.name],
        ['state', run.problem === null ? run.state : `${run.state}: ${run.problem.message}`],
        ['folder', run.out],
        ['model', `${run.modelName} (${run.modelPath})`],
        ['data', `${run.datasetName}${run.version === null ? '' : `, version ${run.version}`}`],
        ['step', run.totalSteps === 0 ? '-' : `${run.step} of ${run.totalSteps}, ${duration(run.seconds)}`],
        ['loss', number(run.lastLoss)],
        ['eval loss', `${number(run.measures.loss?.last)}, best ${number(run.measures.loss?.best)}`],
        ...partTotals(run.measures).map(([part, { last, best }]) => [
          `eval loss, ${part}`,
          `${number(last)}, best ${number(best)}`,
        ]),
        ['trained', `${run.trainableParameters} parameters`],
        ['checkpoints', checkpoints.map(({ step }) => step).join(', ')],
        ...recipeKeys.map((key) => [key, formatFieldText(run.recipe[key])]),
      ]);
      return;
    }
    const differences = recipeKeys.filter((key) => new Set(chosen.map((run) => JSON.stringify(run.recipe[key]))).size > 1);
    output.document({
      runs: chosen.map(written),
      differences: Object.fromEntries(differences.map((key) => [key, chosen.map((run) => run.recipe[key])])),
    });
    const parts = [...new Set(chosen.flatMap((run) => partTotals(run.measures).map(([part]) => part)))];
    const row = (label: string, value: (run: Run) => string) => [label, ...chosen.map(value)];
    output.table([
      row('', (run) => run.name),
      row('state', (run) => run.state),
      row('step', stepsOf),
      row('loss', (run) => number(run.lastLoss)),
      row('eval loss', (run) => number(run.measures.loss?.last)),
      row('best eval loss', (run) => number(run.measures.loss?.best)),
      ...parts.map((part) => row(`eval loss, ${part}`, (run) => number(new Map(partTotals(run.measures)).get(part)?.last))),
      row('time', (run) => duration(run.seconds)),
      ...differences.map((key) => row(key, (run) => formatFieldText(run.recipe[key]))),
    ]);
  },
};

const known = ['list', 'show', 'compare', 'queue', 'move', 'pause', 'resume', 'stop'];

function placeOf(texts: readonly string[]): number {
  const place = Number(texts[0]);
  if (texts.length !== 1 || !Number.isInteger(place) || place < 1) throw new UsageError('Give a run and its place, from 1.');
  return place;
}

/** Returns a run as JSON, with the two losses that scripts have always read. */
function written(run: Run) {
  const { last = null, best = null } = run.measures.loss ?? {};
  return { ...run, lastEvalLoss: last, bestEvalLoss: best };
}

/** Shows how far a run is. How many steps it has is known only once its data was read. */
function stepsOf({ step, totalSteps }: Run): string {
  return totalSteps === 0 ? '-' : `${step}/${totalSteps}`;
}

function number(value: number | null | undefined): string {
  return value == null ? '-' : value.toFixed(4);
}

function find(all: readonly Run[], name: string): Run {
  const byName = all.filter((run) => run.id === name || run.name === name);
  const matching = byName.length > 0 ? byName : all.filter((run) => run.id.startsWith(name));
  if (matching.length === 1) return matching[0]!;
  throw new Problem(
    'not-found',
    matching.length === 0 ? `There is no run '${name}'.` : `${matching.length} runs are called '${name}'.`,
    'Use the id that `lowrank runs list` shows.',
  );
}
