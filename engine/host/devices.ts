/**
 * Knows the devices of this machine, and tries them. An accelerator counts only after a trial, which is a job of its own
 * because a driver may crash its process. The verdict is kept for this machine, this version, and this workload of graph.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { DeviceInfo, DeviceMeasure, MachineInfo, Provider, TrialSubject } from '../contract.ts';
import { readText, writeFileAtomic } from '../formats/files.ts';
import { logError, Problem, toProblemValue } from '../problem.ts';
import { cudaRuntime } from '../runtime/cuda.ts';
import { accelerators, cpuThreads, fastest, machineKey, processor, type Candidate } from '../runtime/devices.ts';
import { machineMemory } from '../runtime/memory.ts';
import { trialFor, trialKey } from '../training/trial.ts';
import { versions } from '../versions.ts';
import type { HostContext } from './context.ts';
import type { ModelProcesses } from './model-processes.ts';

/** Says how a trial ended: with figures, or with the reason why it failed. */
type Verdict = { readonly measured: DeviceMeasure } | { readonly reason: string };

/** Names the runs whose steps consist of the same operators; `subject` stands for all of them. */
interface Workload {
  readonly subject: TrialSubject | null;
  readonly key: string;
}
/** Describes what a device must compute to be used at all. The workload of a run is tried in addition before the run. */
const usual: Workload = { subject: null, key: trialKey(trialFor(null)) };
const untried = 'It is being tested.';
const longestFile = 1 << 20;

export class Devices {
  readonly #context: HostContext;
  readonly #file: string;
  readonly #verdicts: Map<string, Verdict>;
  readonly #processes: Pick<ModelProcesses, 'trialKey'>;
  /**
   * Holds the workloads of runs that are about to begin, by their subject. A workload is used once: its model is read in a job, and may
   * have changed by the next run.
   */
  readonly #workloads = new Map<string, Workload>();
  /** Queues the trials one after the other, because trials at the same time would slow each other down. */
  #trials: Promise<void> = Promise.resolve();

  constructor(context: HostContext, processes: Pick<ModelProcesses, 'trialKey'>) {
    this.#context = context;
    this.#processes = processes;
    this.#file = join(context.cacheDir, 'devices.json');
    this.#verdicts = readVerdicts(this.#file);
  }

  /** Returns what is known now. What is not known yet is tried meanwhile, if there may be an accelerator at all. */
  get(): MachineInfo {
    const info = this.#info([usual]);
    if (info.devices.some(isUntried)) void this.#tryAll([usual]).then(() => this.#tell());
    return info;
  }

  /** Tries every device that was not tried yet, or all of them again. */
  async measure(again: boolean): Promise<MachineInfo> {
    if (again) this.#verdicts.clear();
    await this.#try('cpu', usual);
    await this.#tryAll([usual]);
    return this.#tell();
  }

  /** Returns the devices as a run like this may use them, or null while that is not known yet. */
  forRun(subject: TrialSubject): readonly DeviceInfo[] | null {
    const workload = this.#hasCandidates() ? this.#workloads.get(JSON.stringify(subject)) : usual;
    if (workload === undefined) return null;
    const { devices } = this.#info([usual, workload]);
    if (devices.some(isUntried)) return null;
    this.#workloads.delete(JSON.stringify(subject));
    return devices;
  }

  /** Tries what `forRun` needs to know. */
  async tryFor(subject: TrialSubject): Promise<void> {
    const workload = this.#hasCandidates() ? await this.#workloadOf(subject) : usual;
    this.#workloads.set(JSON.stringify(subject), workload);
    await this.#tryAll([usual, workload]);
    this.#tell();
  }

  #hasCandidates(): boolean {
    return this.#candidates().some(({ missing }) => missing === null);
  }

  async #workloadOf(subject: TrialSubject): Promise<Workload> {
    try {
      return { subject, key: await this.#processes.trialKey(subject) };
    } catch (error) {
      // The run itself says what is wrong with its model or recipe.
      if (error instanceof Problem) return usual;
      throw error;
    }
  }

  #tell(): MachineInfo {
    const info = this.#info([usual]);
    this.#context.emit('machine.changed', info);
    return info;
  }

  #info(workloads: readonly Workload[]): MachineInfo {
    const accelerators = this.#candidates().map((candidate) => this.#judged(candidate, workloads));
    const own = this.#verdicts.get(keyOf('cpu', usual));
    const devices = [{ ...processor(), measured: own && 'measured' in own ? own.measured : null }, ...accelerators];
    return { devices, chosen: fastest(devices).provider, threads: cpuThreads(), memoryTotal: machineMemory().total };
  }

  #candidates(): readonly Candidate[] {
    return accelerators({ cuda: existsSync(cudaRuntime(this.#context.dataDir)) });
  }

  /** Judges a device by the workloads in their order: it is refused for the first that fails, and measured with the last. */
  #judged({ provider, name, missing }: Candidate, workloads: readonly Workload[]): DeviceInfo {
    const refused = (reason: string): DeviceInfo => ({ provider, usable: false, name, reason, measured: null });
    if (missing !== null) return refused(missing);
    let measured: DeviceMeasure | null = null;
    for (const workload of workloads) {
      const verdict = this.#verdicts.get(keyOf(provider, workload));
      if (verdict === undefined) return refused(untried);
      if ('reason' in verdict) return refused(verdict.reason);
      measured = verdict.measured;
    }
    return { provider, usable: true, name, reason: null, measured };
  }

  /** Tries the accelerators and, if one of them works, the processor to compare it with. */
  async #tryAll(workloads: readonly Workload[]): Promise<void> {
    for (const { provider, missing } of this.#candidates())
      for (const workload of missing === null ? workloads : []) {
        const verdict = await this.#try(provider, workload);
        if ('reason' in verdict) break;
        await this.#try('cpu', usual);
      }
  }

  #try(provider: Provider, workload: Workload): Promise<Verdict> {
    const turn = this.#trials.then(async () => {
      const key = keyOf(provider, workload);
      const known = this.#verdicts.get(key);
      if (known !== undefined) return known;
      const verdict = await this.#context.supervisor
        .run<DeviceMeasure>({ kind: 'trial', provider, subject: workload.subject, cacheDir: this.#context.cacheDir })
        .then((measured) => ({ measured }))
        .catch((error: unknown) => {
          const { code, message } = toProblemValue(error);
          // It says nothing about the device.
          if (code === 'adapter-changed') throw error;
          return { reason: message };
        });
      this.#verdicts.set(key, verdict);
      try {
        writeFileAtomic(this.#file, JSON.stringify([...this.#verdicts], null, 2));
      } catch (error) {
        // A failure does not matter, because the verdict is determined again at the next start.
        logError(error);
      }
      return verdict;
    });
    this.#trials = turn.then(
      () => {},
      () => {},
    );
    return turn;
  }
}

const isUntried = ({ reason }: DeviceInfo): boolean => reason === untried;

/** Returns the key of a verdict, which holds for this machine, these versions, and steps of these operators. */
function keyOf(provider: Provider, { key }: Workload): string {
  return [provider, machineKey(), versions.studio, versions.onnxruntime, key].join(' ');
}

function readVerdicts(path: string): Map<string, Verdict> {
  try {
    return new Map(JSON.parse(readText(path, longestFile)) as [string, Verdict][]);
  } catch {
    // The file is missing or damaged; every device can be tried again.
    return new Map();
  }
}
