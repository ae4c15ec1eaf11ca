/** `lowrank merge` writes a model with its adapters merged into its weights. */
import { modelOptions, UsageError, type Command } from './command.ts';
import { readWeights } from './generate.ts';
import { bytes } from './output.ts';
import { showProgress } from './progress.ts';

const quantizations = { float32: 'f32', float16: 'f16', bfloat16: 'bf16' } as const;

export const merge: Command = {
  usage:
    '--model PATH [--accept-field NAME]... --adapter DIR[=weight]... --out DIR [--replace] [--dtype float32|float16|bfloat16]',
  summary: 'writes base and adapters as one model folder',
  options: {
    ...modelOptions,
    adapter: { type: 'string', multiple: true },
    out: { type: 'string' },
    replace: { type: 'boolean' },
    dtype: { type: 'string' },
  },
  lists: ['adapter'],
  async run({ args, output, connect }) {
    const model = args.model();
    const adapters = readWeights(args.requiredList('adapter'));
    const out = args.path('out');
    const dtype = args.oneOf('dtype', ['float32', 'float16', 'bfloat16'], 'float32');
    if (args.positionals.length > 0) throw new UsageError(`'${args.positionals[0]}' was not expected.`);
    const client = await connect();
    const result = await showProgress(client, output, 'export', () =>
      client.request('exports.start', {
        ...{ model, adapters, out, format: 'safetensors', quantization: quantizations[dtype], proof: false },
        replace: args.flag('replace'),
      }),
    );
    output.document(result);
    output.line(`${result.path}  ${bytes(result.bytes)}`);
    for (const note of result.notes ?? []) output.line(`  ${note}`);
  },
};
