/** `lowrank export` writes a model and its adapters in a format of other programs. */
import type { ExportFormat, ExportRecord, Quantization } from '../contract.ts';
import { mapOptions, modelOptions, rowOptions, rowUsage, type Command } from './command.ts';
import { readWeights } from './generate.ts';
import { bytes, type Output } from './output.ts';
import { showProgress } from './progress.ts';

/** Lists the formats in the order of the help. Code with a missing format does not compile. */
const formats: Readonly<Record<ExportFormat, true>> = {
  ...{
    peft: true,
    'lora-gguf': true,
    mlx: true,
    safetensors: true,
    gguf: true,
    ollama: true,
    onnx: true,
    'onnx-adapter': true,
  },
};
const installPrograms = ['ollama', 'lm-studio', 'jan'] as const;

export const exportCommand: Command = {
  usage: `--model PATH [--accept-field NAME]... [--adapter DIR[=weight]]... --format ${Object.keys(formats).join('|')} [--quantization TYPE] --out PATH [--data FILE...] [--importance FILE...] [--map question=COLUMN,answer=COLUMN] ${rowUsage} [--replace] [--no-proof] [--install ollama|lm-studio|jan]`,
  summary:
    'writes the adapter, or base and adapter as one, for other programs, and proves it on rows; --install brings it into one of them',
  options: {
    ...modelOptions,
    ...rowOptions,
    ...mapOptions,
    adapter: { type: 'string', multiple: true },
    format: { type: 'string' },
    quantization: { type: 'string' },
    out: { type: 'string' },
    data: { type: 'string', multiple: true },
    importance: { type: 'string', multiple: true },
    replace: { type: 'boolean' },
    'no-proof': { type: 'boolean' },
    install: { type: 'string' },
  },
  lists: ['adapter', 'data', 'importance'],
  async run({ args, output, connect }) {
    const request = {
      model: args.model(),
      adapters: readWeights(args.list('adapter')),
      // The table of exports refuses unknown formats and names the known ones.
      format: args.required('format') as ExportFormat,
      quantization: (args.text('quantization')?.toLowerCase() ?? null) as Quantization | null,
      out: args.path('out'),
      proof: !args.flag('no-proof'),
      rowSettings: args.rowSettings(),
      replace: args.flag('replace'),
      ...(args.list('data').length > 0 ? { data: args.files('data') } : {}),
      ...(args.list('importance').length > 0 ? { importance: args.files('importance') } : {}),
    };
    const program = args.text('install') === undefined ? null : args.oneOf('install', installPrograms, 'ollama');
    const client = await connect();
    const record = await showProgress(client, output, 'export', () => client.request('exports.start', request));
    const installed = program && (await client.request('exports.install', { id: record.id, program }));
    output.document(installed ? { ...record, installed } : record);
    showExport(output, record);
    if (installed) output.line(`${installed.name}  ${installed.place}`);
    if (installed?.answer) output.line(`  ${installed.answer}`);
  },
};

export function showExport(output: Output, { path, bytes: size, proof, notes }: ExportRecord): void {
  output.line(`${path}  ${bytes(size)}`);
  for (const note of notes ?? []) output.line(`  ${note}`);
  for (const check of proof?.checks ?? []) output.line(`  ${check.passed ? 'ok    ' : 'failed'}  ${check.name}: ${check.text}`);
}
