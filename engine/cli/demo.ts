/** `lowrank demo` runs a sample of the first start without a window: to a proven merged model, or to a comparison. */
import { mkdirSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import type { SampleName, SampleProjectState } from '../contract.ts';
import { Problem } from '../problem.ts';
import { sampleNames } from '../resources.ts';
import type { HostClient } from '../rpc.ts';
import { Interrupted, UsageError, type Command, type Session } from './command.ts';
import { reportOf, showReport, writeReport } from './evaluate.ts';
import { showExport } from './export.ts';
import { duration, type Output } from './output.ts';
import { showProgress } from './progress.ts';
import { followRun } from './train.ts';

export const demo: Command = {
  usage: `[--sample ${sampleNames.join('|')}] [--out FILE.gguf | --compare [--report FILE.md|FILE.csv]]`,
  summary:
    'a sample: embedded model and data; train, answers before and after; then export and proof, or the alternatives beside it',
  options: {
    sample: { type: 'string' },
    out: { type: 'string' },
    compare: { type: 'boolean' },
    report: { type: 'string' },
  },
  async run(session) {
    const { args, output, connect, dataDir, onInterrupt } = session;
    if (args.positionals.length > 0) throw new UsageError(`'${args.positionals[0]}' was not expected.`);
    const [isCompared, out, report] = [args.flag('compare'), args.text('out'), args.text('report')];
    if (isCompared && out !== undefined)
      throw new UsageError('--compare and --out exclude each other: one ends with a report, one with a model.');
    if (!isCompared && report !== undefined) throw new UsageError('--report needs --compare.');
    const started = performance.now();
    const name = args.oneOf('sample', sampleNames, 'json-orders');
    const client = await connect();
    onInterrupt(() => {
      output.message('Stopping after this step.');
      client.request('sample.stop', undefined).catch(() => {});
    });
    const sample = await followSample(client, name, output);
    if (sample.phase === 'stopped') throw new Interrupted('The demo was stopped.');
    if (sample.problem !== null) throw Problem.fromValue(sample.problem);
    if (isCompared) return compare(session, client, { sample, started, report });

    const adapters = await client.request('adapters.list', { projectId: sample.projectId });
    const adapter = adapters.find(({ id }) => id === sample.adapterId)!;
    const record = await showProgress(client, output, 'export', () =>
      client.request('exports.start', {
        projectId: sample.projectId,
        model: { path: adapter.modelPath },
        adapters: [{ id: adapter.id }],
        format: 'gguf',
        quantization: 'f16',
        out: out === undefined ? join(dataDir, 'exports', `demo-${adapter.id.slice(0, 8)}.gguf`) : resolve(out),
        proof: true,
      }),
    );
    const seconds = (performance.now() - started) / 1000;
    output.document({ sample, export: record, seconds });
    showSample(output, sample);
    showExport(output, record);
    output.line();
    output.line(`Done in ${duration(seconds)}.`);
  },
};

/** Lets the adapter and the alternatives to it answer the test rows, and shows the table. */
async function compare(
  session: Session,
  client: HostClient,
  { sample, started, report: file }: { sample: SampleProjectState; started: number; report: string | undefined },
): Promise<void> {
  const { output, dataDir } = session;
  const evaluation = await client.request('sample.compare', undefined);
  const report = await reportOf(session, client, evaluation.id);
  const path = file === undefined ? join(dataDir, 'reports', `demo-${evaluation.id.slice(0, 8)}.md`) : resolve(file);
  mkdirSync(dirname(path), { recursive: true });
  writeReport(path, report);
  const seconds = (performance.now() - started) / 1000;
  output.document({ sample, evaluation: { id: evaluation.id, report: path }, report, seconds });
  showSample(output, sample);
  showReport(output, report);
  output.line();
  output.line(`The report is ${path}. All answers are in the window, under Evaluate.`);
  output.line(`Done in ${duration(seconds)}.`);
}

function showSample(output: Output, sample: SampleProjectState): void {
  output.line(`Question  ${sample.question}`);
  output.line();
  sideBySide(output, `Before: ${sample.answerBefore ?? ''}`, `After: ${sample.answerAfter ?? ''}`);
  output.line();
  output.line(
    `Right answers: before ${sample.correctBefore} of ${sample.rows}, after ${sample.correctAfter} of ${sample.rows}.`,
  );
  output.line(`An answer is right when ${sample.sample.right}.`);
  output.line();
}

async function followSample(client: HostClient, name: SampleName, output: Output): Promise<SampleProjectState> {
  const { promise, resolve: settle, reject } = Promise.withResolvers<SampleProjectState>();
  let following = false;
  const look = (state: SampleProjectState) => {
    if (state.progress !== null) output.progress(state.progress);
    if (state.runId !== null && !following) {
      following = true;
      // The sample itself reports how the run ends.
      followRun(client, state.runId, output).catch(() => {});
    }
    if (['done', 'failed', 'stopped'].includes(state.phase)) settle(state);
  };
  const end = client.on('sample.changed', look);
  client.onClose(() =>
    reject(new Problem('host-unreachable', 'The connection to the engine was lost.', 'Start the demo again.')),
  );
  try {
    const begun = await client.request('sample.start', { sample: name });
    output.message(`${begun.sample.title}. ${begun.sample.summary}`);
    look(begun);
    return await promise;
  } finally {
    end();
    output.end();
  }
}

/** Shows two texts side by side in the terminal. */
function sideBySide(output: Output, left: string, right: string): void {
  const width = Math.max(24, Math.min(48, Math.floor(((process.stdout.columns || 100) - 4) / 2)));
  const [a, b] = [wrap(left, width), wrap(right, width)];
  for (let i = 0; i < Math.max(a.length, b.length); i++)
    output.line(`  ${(a[i] ?? '').padEnd(width)}  ${b[i] ?? ''}`.trimEnd());
}

function wrap(text: string, width: number): string[] {
  const lines: string[] = [];
  for (const paragraph of text.split('\n')) {
    let line = '';
    for (const word of paragraph.split(' ')) {
      if (line !== '' && line.length + 1 + word.length > width) {
        lines.push(line);
        line = '';
      }
      line = line === '' ? word : `${line} ${word}`;
      while (line.length > width) {
        lines.push(line.slice(0, width));
        line = line.slice(width);
      }
    }
    lines.push(line);
  }
  return lines;
}
