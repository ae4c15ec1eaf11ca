import type { Evaluation, ExportRecord, Run } from '../../engine/contract.ts';
import { duration, isolated, loss } from '../ui/format.ts';
import type { Engine } from './engine.ts';

/** Sets the seconds of work that are worth a notification, because nobody looks away from shorter work. */
const shortestSeconds = 10;

/** Shows a notification of the system when long work has ended and the window is not in front. */
export function announceEnds(engine: Pick<Engine, 'on' | 'request'>, inFront: () => boolean): void {
  /** Holds the time at which each run, evaluation or export was first seen at work, by id. */
  const begun = new Map<string, number>();

  function follow(id: string, working: boolean, notice: () => Notice | null): void {
    const since = begun.get(id);
    if (working) {
      if (since === undefined) begun.set(id, performance.now());
      return;
    }
    begun.delete(id);
    if (since === undefined || inFront() || performance.now() - since < shortestSeconds * 1000) return;
    const text = notice();
    // Nothing is lost when it cannot be shown: the screens say the same.
    if (text !== null) engine.request('shell.notify', text).catch(() => undefined);
  }

  engine.on('run.changed', (run) => {
    if (run.state !== 'queued') follow(run.id, run.state === 'running', () => ofRun(run));
  });
  engine.on('evaluation.changed', (evaluation) =>
    follow(evaluation.id, evaluation.state === 'running', () => ofEvaluation(evaluation)),
  );
  engine.on('export.changed', (record) => follow(record.id, record.state === 'running', () => ofExport(record)));
}

interface Notice {
  readonly title: string;
  readonly body: string;
  readonly command: string;
}

/** Returns what to say of a run that ended, or null for what a person did on purpose. */
function ofRun({ id, name, state, seconds, lastLoss, measures, problem }: Run): Notice | null {
  const command = `run:${id}`;
  if (state === 'failed') return { title: `${isolated(name)} failed`, body: problem?.message ?? '', command };
  if (state === 'interrupted')
    return { title: `${isolated(name)} was interrupted`, body: 'It can resume from its last checkpoint.', command };
  if (state !== 'done') return null;
  const measured = measures.loss === undefined ? `loss ${loss(lastLoss)}` : `evaluation loss ${loss(measures.loss.last)}`;
  return { title: `${isolated(name)} is trained`, body: `${duration(seconds)}, ${measured}`, command };
}

function ofExport({ adapterName, state, proof, problem }: ExportRecord): Notice | null {
  const command = 'go.exports';
  if (state === 'failed')
    return { title: `The export of ${isolated(adapterName)} failed`, body: problem?.message ?? '', command };
  if (state !== 'done') return null;
  return {
    title: `${isolated(adapterName)} is exported`,
    body: proof?.passed === true ? 'The proof passed.' : 'Without a proof.',
    command,
  };
}

function ofEvaluation({ name, state, verdict, problem }: Evaluation): Notice | null {
  const command = 'go.evaluate';
  if (state === 'failed') return { title: `The evaluation ${isolated(name)} failed`, body: problem?.message ?? '', command };
  if (state !== 'done') return null;
  return { title: `${isolated(name)} is evaluated`, body: verdict?.sentence ?? '', command };
}
