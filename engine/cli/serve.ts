/** `lowrank serve` answers other programs of this computer in the form of OpenAI's API, until it is stopped. */
import type { ServeState } from '../contract.ts';
import { Problem } from '../problem.ts';
import { modelOptions, UsageError, type Command } from './command.ts';
import { readWeights } from './generate.ts';

export const serve: Command = {
  usage: '--model PATH [--accept-field NAME]... [--adapter DIR[=weight]]... [--port N]',
  summary:
    'answers programs of this computer in the form of OpenAI’s API until Ctrl-C; the URL, the model and a new token are printed once',
  options: { ...modelOptions, adapter: { type: 'string', multiple: true }, port: { type: 'string' } },
  lists: ['adapter'],
  async run({ args, output, connect, onInterrupt }) {
    if (args.positionals.length > 0) throw new UsageError(`'${args.positionals[0]!}' was not expected.`);
    const model = args.model();
    const adapters = readWeights(args.list('adapter'));
    const port = args.number('port', 0, { min: 1024, integer: true });
    if (port > 65535) throw new UsageError(`--port must be at most 65535, not '${port}'.`);
    const client = await connect();
    const ended = Promise.withResolvers<'asked' | 'stopped'>();
    client.on('serve.changed', (state: ServeState | null) => {
      if (state === null) ended.resolve('stopped');
    });
    client.onClose(() => ended.reject(new Problem('host-unreachable', 'The engine has ended.', 'Start it again.')));
    output.message('Loading the model');
    const { token, ...state } = await client.request('serve.start', { model, adapters, ...(port > 0 && { port }) });
    onInterrupt(() => ended.resolve('asked'));
    output.document({ ...state, token });
    output.table([
      ['url', state.url],
      ['model', state.model],
      ['token', token],
    ]);
    output.message('The token is shown once and is stored nowhere. Ctrl-C ends.');
    if ((await ended.promise) === 'asked') await client.request('serve.stop', undefined);
    else output.message('It was stopped in another window or command.');
  },
};
