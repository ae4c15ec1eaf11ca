/** Follows the folder of a run. What is new in it is stored, all of it or nothing, and sent to clients afterwards. */
import { join } from 'node:path';
import type { LogLine, Progress } from '../../contract.ts';
import { judged } from '../../evaluate/judge.ts';
import { checkpointsIn, readRunRecord, type EndEvent, type RunEvent } from '../../jobs/run-folder.ts';
import { readNews, type RunPosition } from '../../jobs/run-news.ts';
import { measuresOf, measuresText } from '../../measures.ts';
import { memoryRecipe } from '../../training/memory.ts';
import type { AdapterRegistry } from '../adapters.ts';
import type { HostContext } from '../context.ts';
import { lineOf, type RunRegistry } from './registry.ts';

export class Intake {
  readonly #context: HostContext;
  readonly #registry: RunRegistry;
  readonly #adapters: AdapterRegistry;
  readonly #runId: string;
  /** Says how far the folder is stored, or is null before the store was asked. */
  #position: RunPosition | null = null;
  /** Holds the phase that was stored last, because every report of progress repeats it. */
  #phase = 'Starting';
  #secondsLeft: number | null = null;
  /** Gives the number of tokens of the longest row, or null until the folder says it. */
  #longest: number | null = null;
  #end: EndEvent | null = null;

  constructor(context: HostContext, registry: RunRegistry, adapters: AdapterRegistry, runId: string) {
    this.#context = context;
    this.#registry = registry;
    this.#adapters = adapters;
    this.#runId = runId;
  }

  /** Returns how the run has ended by itself, if the folder has said so, or null otherwise. */
  get end(): EndEvent | null {
    return this.#end;
  }

  /** Reads the folder from its start, because a new folder replaced the one before. */
  startOver(): void {
    this.#position = { metrics: 0, events: 0 };
  }

  /**
   * Stores and sends all that is new in the folder. Throws when it cannot be read or stored; it is then read again the next
   * time.
   */
  follow(): void {
    for (let more = true; more;) more = this.#take();
  }

  #take(): boolean {
    const { store, emit } = this.#context;
    const runId = this.#runId;
    const run = this.#registry.get(runId);
    const from = (this.#position ??= store.runs.position(runId));
    const news = readNews(run.out, from);
    if (news.position.metrics === from.metrics && news.position.events === from.events) return false;
    const lines: LogLine[] = [];
    // Whatever a power loss removes is read from the folder again, because the position reached is part of the same
    // transaction.
    const { steps, evaluations, versions } = store.unflushed(() => {
      for (const event of news.events) lines.push(...this.#store(event, run.out));
      const published = news.events.filter((event) => event.type === 'adapter');
      const versions = published.map((event) => this.#adapters.putPublished(run, event));
      if (news.unreadable > 0) lines.push(lineOf(`${news.unreadable} lines in the folder of the run cannot be read.`));
      // Where metrics are read again, known ones are repeated.
      const known = store.metrics.last(runId);
      const steps = news.steps.filter(({ step }) => step > known.step);
      const evaluations = news.evaluations.filter(({ step }) => step > known.evaluation);
      for (const evaluation of evaluations)
        lines.push(lineOf(`Step ${evaluation.step}: ${measuresText(measuresOf(evaluation))}.`));
      store.metrics.put(runId, steps, evaluations);
      store.runs.update(runId, {
        secondsLeft: this.#secondsLeft,
        ...(steps.length > 0 ? { step: steps.at(-1)!.step } : {}),
        ...{ metricsRead: news.position.metrics, eventsRead: news.position.events },
      });
      for (const line of lines) store.log.add(runId, line);
      return { steps, evaluations, versions };
    });
    this.#position = news.position;
    for (const event of news.events) {
      if (event.type === 'begin') this.#longest = event.longest;
      this.#end = event.type === 'end' ? event : null;
    }
    if (run.step === 0 && steps.length > 0) this.keepMemory();
    if (steps.length + evaluations.length > 0) emit('run.metrics', { runId, steps, evaluations });
    for (const event of news.events) if (event.type === 'sample') emit('run.sample', { runId, sample: judged(event.sample) });
    for (const line of lines) emit('run.log', { runId, line });
    for (const version of versions) this.#adapters.tell(version);
    this.#registry.tell(runId);
    return news.more;
  }

  /** Stores what an event says, and returns the lines of the log about it. */
  #store(event: RunEvent, out: string): LogLine[] {
    const { store } = this.#context;
    const runId = this.#runId;
    const { at } = event;
    switch (event.type) {
      case 'begin': {
        const { recipe, totalSteps, trainableParameters, device } = readRunRecord(out);
        // Measurements after the checkpoint from which a run is resumed no longer count.
        for (const table of [store.metrics, store.samples, store.checkpoints]) table.removeAfter(runId, event.step);
        store.runs.update(runId, { recipe, step: event.step, totalSteps, trainableParameters, device: device.provider });
        const text = `${counted(totalSteps)} steps, ${counted(trainableParameters)} trainable parameters, computed on ${device.provider}.`;
        return [{ at, text }];
      }
      case 'log':
        return [{ at, text: event.text }];
      case 'sample':
        store.samples.put(runId, judged(event.sample));
        return [];
      case 'checkpoint': {
        const { step, name, bytes } = event;
        const path = join(checkpointsIn(out), name);
        const { keepCheckpoints } = this.#registry.get(runId).recipe;
        store.checkpoints.put(runId, { step, path, bytes, createdAt: at }, keepCheckpoints);
        return [{ at, text: `Step ${step}: checkpoint saved.` }];
      }
      case 'adapter':
      case 'end':
        return [];
    }
  }

  /** Sends how far the run is. Throws when a new phase cannot be stored. */
  progress(progress: Progress, jobId: string, isEnding: boolean): void {
    const { store, emit } = this.#context;
    const runId = this.#runId;
    const { phase, total, secondsLeft } = progress;
    if (total > 0 && phase === 'Training') this.#secondsLeft = secondsLeft;
    if (this.#phase !== phase && !isEnding) {
      store.runs.update(runId, { phase });
      this.#phase = phase;
      // Phases without a length happen once; training and evaluating alternate.
      if (total === 0) this.#registry.log(runId, `${phase}.`);
      this.#registry.tell(runId);
    }
    emit('job.progress', { jobId, kind: 'train', subjectId: runId, progress });
  }

  /** Stores the memory that the run has taken so far, as the measurement for runs like it. */
  keepMemory(): void {
    const { modelPath, recipe, peakMemory, name, device } = this.#registry.get(this.#runId);
    if (this.#longest !== null && peakMemory > 0 && device === 'cpu')
      this.#context.store.memory.put(modelPath, {
        recipe: memoryRecipe(recipe),
        ...{ longest: this.#longest, bytes: peakMemory, measuredBy: name },
      });
  }
}

const counted = (value: number): string => value.toLocaleString('en-US');
