/** What a run reports while it trains: stored first and told after. */
import type { JobMessage } from '../../contract.ts';
import { memoryRecipe } from '../../training/memory.ts';
import type { HostContext } from '../context.ts';
import type { RunRegistry } from './registry.ts';

export class Intake {
  readonly #context: HostContext;
  readonly #registry: RunRegistry;
  readonly #runId: string;
  /** As last stored: every report of progress carries it again. */
  #phase = 'Starting';
  /** Tokens of the longest row, once the job has said so. */
  #longest: number | null = null;

  constructor(context: HostContext, registry: RunRegistry, runId: string) {
    this.#context = context;
    this.#registry = registry;
    this.#runId = runId;
  }

  /** Stores a report of the job `jobId` and tells of it. Throws where it cannot be stored. */
  receive(message: JobMessage, jobId: string, isEnding: boolean): void {
    const { store, emit } = this.#context;
    const runId = this.#runId;
    const registry = this.#registry;
    switch (message.type) {
      case 'plan':
        this.#longest = message.longest;
        store.transaction(() => {
          // What was measured after the checkpoint a run goes on from no longer counts.
          store.metrics.removeAfter(runId, message.stepsDone);
          store.metrics.put(runId, message.known.steps, message.known.evaluations);
          store.runs.update(runId, {
            recipe: message.recipe,
            step: message.stepsDone,
            totalSteps: message.totalSteps,
            trainableParameters: message.trainableParameters,
            device: message.device,
          });
        });
        registry.log(
          runId,
          `${counted(message.totalSteps)} steps, ${counted(message.trainableParameters)} trainable parameters, computed on ${message.device}.`,
        );
        registry.tell(runId);
        return;
      case 'progress': {
        const { phase, total } = message.progress;
        if (this.#phase !== phase && !isEnding) {
          store.runs.update(runId, { phase });
          this.#phase = phase;
          // What has no length happens once; training and evaluating take turns.
          if (total === 0) registry.log(runId, `${phase}.`);
          registry.tell(runId);
        }
        emit('job.progress', { jobId, kind: 'train', subjectId: runId, progress: message.progress });
        return;
      }
      case 'metrics': {
        const { steps, evaluations, secondsLeft } = message;
        const isFirst = registry.get(runId).step === 0;
        store.transaction(() => {
          store.metrics.put(runId, steps, evaluations);
          store.runs.update(runId, {
            secondsLeft,
            ...(steps.length > 0 ? { step: steps.at(-1)!.step } : {}),
          });
        });
        if (isFirst) this.keepMemory();
        emit('run.metrics', { runId, steps, evaluations });
        for (const { step, evalLoss } of evaluations)
          registry.log(runId, `Step ${step}: evaluation loss ${evalLoss.toFixed(4)}.`);
        registry.tell(runId);
        return;
      }
      case 'sample':
        store.samples.put(runId, message.sample);
        emit('run.sample', { runId, sample: message.sample });
        return;
      case 'checkpoint':
        store.checkpoints.put(runId, message.checkpoint, registry.get(runId).recipe.keepCheckpoints);
        registry.log(runId, `Step ${message.checkpoint.step}: checkpoint saved.`);
        registry.tell(runId);
        return;
      case 'log':
        registry.log(runId, message.text);
    }
  }

  /** Stores what the run has taken of memory so far: that is what one like it will take. */
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
