/** `lowrank data split` and `lowrank data convert` write rows as files of JSON Lines or Parquet; the files they come from stay as they are. */
import { join } from 'node:path';
import type { DataChange, DataRef, Split, WrittenRows } from '../contract.ts';
import { UsageError, type Arguments, type Session } from './command.ts';
import { dataOf } from './mix.ts';
import type { Output } from './output.ts';
import { showProgress } from './progress.ts';

/** Returns the split that options ask for, by a number such as `--fraction 0.1`. */
export function splitChange(args: Arguments, names: { fraction: string; seed: string; by: string }): DataChange {
  const fraction = args.number(names.fraction, Number.NaN, { min: 0, integer: false });
  if (!(fraction > 0 && fraction < 1))
    throw new UsageError(`--${names.fraction} takes a number above 0 and below 1, such as 0.1.`);
  const seed = args.number(names.seed, 0, { min: 0, integer: true });
  const by = args.text(names.by);
  return { kind: 'split', fraction, seed, ...(by === undefined ? {} : { by }) };
}

const formats = ['jsonl', 'parquet'];

/** Writes the rows to train on and those held back as train.jsonl and eval.jsonl of a folder, or as train.parquet and eval.parquet. */
export async function splitRows(session: Session): Promise<void> {
  const { args, output } = session;
  const out = args.path('out');
  const format = args.text('format') ?? 'jsonl';
  if (!formats.includes(format)) throw new UsageError(`--format takes ${formats.join(' or ')}.`);
  const changes = [...changesIn(args), splitChange(args, { fraction: 'fraction', seed: 'seed', by: 'by' })];
  const data = { ...dataOf(args), changes };
  const train = await write(session, data, 'train', join(out, `train.${format}`));
  const evaluation = await write(session, data, 'eval', join(out, `eval.${format}`));
  output.document({ train, eval: evaluation });
  showWritten(output, [train, evaluation]);
}

/** Writes all rows as one file, in Parquet where its name ends with .parquet. */
export async function convertRows(session: Session): Promise<void> {
  const { args, output } = session;
  for (const name of ['fraction', 'seed', 'by', 'format'])
    if (args.text(name) !== undefined) throw new UsageError(`--${name} is for data split.`);
  const written = await write(session, { ...dataOf(args), changes: changesIn(args) }, 'train', args.path('out'));
  output.document(written);
  showWritten(output, [written]);
}

/** Shows what was written, what changed its type, and which rows were left out. */
function showWritten(output: Output, files: readonly WrittenRows[]): void {
  const left = files.reduce((rows, { leftOut }) => rows + leftOut.rows, 0);
  const reasons = files.flatMap(({ leftOut }) => leftOut.reasons);
  output.table([
    ...files.map(({ path, rows }) => [path, rows === 1 ? '1 row' : `${rows} rows`]),
    ...[...new Set(files.flatMap(({ changed }) => changed))].map((change) => ['', change]),
    ...(left === 0 ? [] : [['left out', left === 1 ? '1 row cannot be read' : `${left} rows cannot be read`]]),
    ...reasons.map((reason) => ['', reason]),
    ...(left > reasons.length ? [['', `and ${left - reasons.length} more`]] : []),
  ]);
}

function changesIn(args: Arguments): DataChange[] {
  return args.flag('deduplicate') ? [{ kind: 'deduplicate' }] : [];
}

async function write({ args, output, connect }: Session, data: DataRef, split: Split, out: string): Promise<WrittenRows> {
  const client = await connect();
  const request = { data, split, out, replace: args.flag('replace'), skipBadRows: args.flag('skip-bad-rows') };
  return showProgress(client, output, 'write-rows', () => client.request('data.write', request));
}
