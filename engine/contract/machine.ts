/** Defines the computer, its devices, and the notices of the studio. */
import type { ProblemValue } from '../problem.ts';

export type Provider = 'cpu' | 'cuda' | 'dml' | 'webgpu';
export interface DeviceInfo {
  readonly provider: Provider;
  readonly usable: boolean;
  /** Gives the name of the device and the part of it that is used: `4 threads`. */
  readonly name: string;
  /** Says why it cannot be used, or is null when it can. */
  readonly reason: string | null;
  /** Says how it compares with the processor, or is null when nothing could be measured. */
  readonly measured: DeviceMeasure | null;
}
export interface DeviceMeasure {
  /** Gives the largest difference of a loss or gradient from the processor's, as a fraction of the largest element. */
  readonly difference: number;
  /** Gives billions of floating-point operations per second in products of large matrices. */
  readonly gflops: number;
}
export interface MachineInfo {
  readonly devices: readonly DeviceInfo[];
  /** Names the provider that runs use unless they ask for another one. */
  readonly chosen: Provider;
  readonly threads: number;
  readonly memoryTotal: number;
}
export interface Progress {
  readonly phase: string;
  readonly done: number;
  readonly total: number;
  readonly unit: string;
  readonly secondsLeft: number | null;
  /** Counts the rows that are done, when `done` counts the bytes of files of rows. */
  readonly rows?: number;
  /** Gives the rows in progress: those that begin on these lines of a file. */
  readonly at?: { readonly file: string; readonly firstLine: number; readonly lastLine: number };
}
export interface MachineRequests {
  /** Returns what is known now. The rest is measured meanwhile, and `machine.changed` reports it. */
  'machine.get': () => MachineInfo;
  /** Tries the devices that are not known yet, or all of them `again`, and answers when that is done. */
  'machine.measure': (p: { again: boolean }) => MachineInfo;
  /** Returns the resident bytes of the host and its jobs, and the free bytes of the machine. */
  'machine.memory': () => { used: number; free: number };
  /**
   * Returns which of these paths the store holds. The window may name no other paths than these and those that a person chose
   * in it.
   */
  'paths.known': (p: { paths: readonly string[] }) => readonly string[];
  /**
   * Returns the notices that nobody has seen yet, such as rows that cannot be read or a database that was repaired, and clears
   * them.
   */
  'notices.take': () => readonly ProblemValue[];
}
export interface MachineEvents {
  'machine.changed': MachineInfo;
  /** Says that there are notices, which `notices.take` returns. */
  'notices.changed': null;
}
