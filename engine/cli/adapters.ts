/** `lowrank adapters` lists, shows and tags adapter versions, mixes adapters into one, and cuts one to a smaller rank. */
import { resolve } from 'node:path';
import type { AdapterVersion, MixedVersion, MixMethod, MixSettings } from '../contract.ts';
import { Problem } from '../problem.ts';
import type { HostClient } from '../rpc.ts';
import { type Arguments, modelOptions, UsageError, type Command } from './command.ts';
import { readWeights } from './generate.ts';
import { bytes, type Output } from './output.ts';
import { showProgress } from './progress.ts';

export const adapters: Command = {
  usage:
    'list | show ADAPTER | tag ADAPTER candidate|best|shipped|none | mix | truncate  [--model PATH] [--accept-field NAME]... [--adapter DIR[=weight]]... [--method METHOD] [--density D] [--rank N] [--majority-sign total|frequency] [--seed N] [--out DIR]',
  summary:
    'adapter versions of this data folder, and new adapters made of others; ADAPTER is a name, an id or the beginning of it; METHOD of a mix is linear, cat, svd, ties, magnitude-prune, dare-linear or dare-ties, the last four also with -svd behind; truncate cuts --adapter to --rank',
  options: {
    ...modelOptions,
    adapter: { type: 'string', multiple: true },
    method: { type: 'string' },
    density: { type: 'string' },
    rank: { type: 'string' },
    'majority-sign': { type: 'string' },
    seed: { type: 'string' },
    out: { type: 'string' },
  },
  lists: ['adapter'],
  async run({ args, output, connect }) {
    const [what, ...names] = args.positionals;
    const action = actions[what ?? ''];
    if (action === undefined) throw new UsageError(`Say what: ${Object.keys(actions).join(', ')}.`);
    if (names.length !== action.names.length)
      throw new UsageError(
        action.names.length === 0 ? `'${names[0]!}' was not expected.` : `Give ${action.names.join(' and ')}.`,
      );
    await action.run({ args, output, connect, names });
  },
};

interface Asked {
  readonly args: Arguments;
  readonly output: Output;
  readonly names: readonly string[];
  connect(): Promise<HostClient>;
}

const tags = ['candidate', 'best', 'shipped', 'none'] as const;

const actions: Readonly<Record<string, { readonly names: readonly string[]; run(asked: Asked): Promise<void> }>> = {
  list: {
    names: [],
    async run({ output, connect }) {
      const all = await everyVersion(await connect());
      output.document(all);
      output.table([
        ['id', 'name', 'tag', 'rank', 'eval loss', 'run', 'model', 'folder'],
        ...all.map((version) => [
          ...[version.id.slice(0, 8), version.name, version.tag ?? '-', String(version.rank)],
          ...[version.evalLoss?.toFixed(4) ?? '-', version.runName ?? '-', version.modelName, version.path],
        ]),
      ]);
    },
  },
  show: {
    names: ['one adapter'],
    async run({ output, connect, names }) {
      const client = await connect();
      const version = await find(client, names[0]!);
      const inspected = await client.request('inspect.path', { path: version.path });
      output.document({ ...version, inspected });
      output.table([
        ['name', version.name],
        ['id', version.id],
        ['folder', version.path],
        ['tag', version.tag ?? '-'],
        ['model', `${version.modelName} (${version.modelPath})`],
        ['data', version.datasetName ?? '-'],
        ['run', version.runName === null ? '-' : `${version.runName}, step ${version.step ?? '-'}`],
        ['eval loss', version.evalLoss?.toFixed(4) ?? '-'],
        ...inspected.summary.map(({ label, value }) => [label, value]),
      ]);
    },
  },
  tag: {
    names: ['one adapter', `one of ${tags.join(', ')}`],
    async run({ output, connect, names }) {
      const [name, given] = names as [string, string];
      const tag = tags.find((each) => each === given);
      if (tag === undefined) throw new UsageError(`The tag must be one of ${tags.join(', ')}, not '${given}'.`);
      const client = await connect();
      const { id } = await find(client, name);
      const version = await client.request('adapters.update', { id, tag: tag === 'none' ? null : tag });
      output.document(version);
      output.line(`${version.name}  ${version.tag ?? 'no tag'}`);
    },
  },
  mix: {
    names: [],
    async run({ args, output, connect }) {
      const model = args.model();
      const parts = readWeights(args.requiredList('adapter'));
      const mix = readMix(args);
      const out = args.path('out');
      const client = await connect();
      const ask = () => client.request('adapters.mix', { model, adapters: parts, mix, out });
      show(output, await showProgress(client, output, 'mix', ask));
    },
  },
  truncate: {
    names: [],
    async run({ args, output, connect }) {
      const [path, ...more] = args.requiredList('adapter');
      if (more.length > 0) throw new UsageError('Give one adapter.');
      args.required('rank');
      const rank = args.number('rank', 1, { min: 1, integer: true });
      const out = args.path('out');
      const model = args.text('model') === undefined ? {} : { model: args.model() };
      const client = await connect();
      const ask = () => client.request('adapters.truncate', { ...model, adapter: { path: resolve(path!) }, rank, out });
      show(output, await showProgress(client, output, 'mix', ask));
    },
  },
};

function readMix(args: Arguments): MixSettings {
  const given = (name: string) => args.text(name) !== undefined;
  return {
    // PEFT writes the names with underscores.
    method: args.required('method').replaceAll('_', '-') as MixMethod,
    ...(given('density') ? { density: args.number('density', 1, { min: 0, integer: false }) } : {}),
    ...(given('rank') ? { rank: args.number('rank', 1, { min: 1, integer: true }) } : {}),
    ...(given('majority-sign') ? { majoritySign: args.oneOf('majority-sign', ['total', 'frequency'], 'total') } : {}),
    ...(given('seed') ? { seed: args.number('seed', 0, { min: 0, integer: true }) } : {}),
  };
}

/** Shows an adapter that was made of others, and each matrix that lost something. */
function show(output: Output, made: MixedVersion): void {
  output.document(made);
  output.line(`${made.path}  rank ${made.rank}, ${made.parameters} parameters, ${bytes(made.bytes)}`);
  const cut = made.matrices.filter(({ lost }) => lost > 0);
  if (made.worst !== null) {
    output.table([['matrix', 'rank', 'lost'], ...cut.map(({ path, rank, lost }) => [path, String(rank), share(lost)])]);
    output.line(`The most is lost in ${made.worst.path}: ${share(made.worst.lost)} of the Frobenius norm of its update.`);
  }
  for (const note of made.notes) output.message(note);
}

function share(lost: number): string {
  return `${(100 * lost).toPrecision(3)} %`;
}

async function everyVersion(client: HostClient): Promise<readonly AdapterVersion[]> {
  const projects = await client.request('projects.list', undefined);
  return (await Promise.all(projects.map(({ id }) => client.request('adapters.list', { projectId: id })))).flat();
}

async function find(client: HostClient, name: string): Promise<AdapterVersion> {
  const all = await everyVersion(client);
  const byName = all.filter((version) => version.id === name || version.name === name);
  const matching = byName.length > 0 ? byName : all.filter((version) => version.id.startsWith(name));
  if (matching.length === 1) return matching[0]!;
  throw new Problem(
    'not-found',
    matching.length === 0 ? `There is no adapter '${name}'.` : `${matching.length} adapters are called '${name}'.`,
    'Use the id that `lowrank adapters list` shows.',
  );
}
