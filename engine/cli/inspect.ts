/** `lowrank inspect` says what a file or folder is. */
import { resolve } from 'node:path';
import { modelOptions, UsageError, type Command } from './command.ts';

export const inspect: Command = {
  usage: 'PATH [--accept-field NAME]...',
  summary: 'what a model, adapter, data set or export is, and whether it is sound',
  options: { 'accept-field': modelOptions['accept-field'] },
  async run({ args, output, connect }) {
    const [path, ...surplus] = args.positionals;
    if (path === undefined || surplus.length > 0) throw new UsageError('Give one path.');
    const client = await connect();
    const found = await client.request('inspect.path', {
      path: resolve(path),
      acceptFields: args.list('accept-field'),
    });
    output.document(found);
    output.table([
      ['kind', found.kind],
      ['sound', found.sound ? 'yes' : 'no'],
      ...found.summary.map(({ label, value }) => [label, value] as const),
    ]);
    for (const note of found.model?.notes ?? []) output.line(`Note: ${note}`);
  },
};
