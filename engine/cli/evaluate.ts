/** `lowrank evaluate` measures a model, with or without an adapter, on rows. */
import { resolve } from 'node:path';
import { showProgress } from './progress.ts';
import { mapOptions, modelOptions, rowOptions, rowUsage, type Command } from './command.ts';

export const evaluate: Command = {
  usage: `--model PATH [--accept-field NAME]... --data FILE... [--map question=COLUMN,answer=COLUMN] [--adapter DIR] ${rowUsage}`,
  summary: 'loss and perplexity on the rows of FILE',
  options: {
    ...modelOptions,
    ...rowOptions,
    ...mapOptions,
    data: { type: 'string', multiple: true },
    adapter: { type: 'string' },
  },
  lists: ['data'],
  async run({ args, output, connect }) {
    const model = args.model();
    const data = args.files('data');
    const adapter = args.text('adapter');
    const client = await connect();
    const result = await showProgress(client, output, 'evaluate', () =>
      client.request('evaluate.start', {
        ...{ model, data, rowSettings: args.rowSettings() },
        adapter: adapter === undefined ? null : resolve(adapter),
      }),
    );
    for (const note of result.notes) output.message(note);
    const { notes, measures, supervisedTokens, rows } = result;
    const [loss, perplexity] = [measures.loss!.value, measures.perplexity!.value];
    output.document({
      ...{ notes, loss, perplexity, supervisedTokens },
      rows: rows.map((row) => ({ loss: row.measures.loss!, supervisedTokens: row.supervisedTokens })),
    });
    output.line(`loss               ${loss.toFixed(6)}`);
    output.line(`perplexity         ${perplexity.toFixed(4)}`);
    output.line(`supervised tokens  ${supervisedTokens}`);
    output.line(`rows               ${rows.length}`);
  },
};
