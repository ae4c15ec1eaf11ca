/** Defines the computer, its devices, and what the studio has to tell of itself. */
import type { ProblemValue } from '../problem.ts';

export type Provider = 'cpu' | 'cuda' | 'dml' | 'webgpu';
export interface DeviceInfo {
  readonly provider: Provider;
  readonly usable: boolean;
  /** The name of the device and the part of it that is used: `4 threads`. */
  readonly name: string;
  /** Why it cannot be used; null when it can. */
  readonly reason: string | null;
  /** How it compares with the processor; null when nothing could be measured. */
  readonly measured: DeviceMeasure | null;
}
export interface DeviceMeasure {
  /** The largest difference of a loss or gradient from the processor's, as a fraction of the largest element. */
  readonly difference: number;
  /** Billions of floating-point operations per second in products of large matrices. */
  readonly gflops: number;
}
export interface MachineInfo {
  readonly devices: readonly DeviceInfo[];
  /** The provider that runs use unless they ask for another one. */
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
  /** The number of rows that are done, when `done` counts the bytes of files of rows. */
  readonly rows?: number;
  /** The rows in progress: those that begin on these lines of a file. */
  readonly at?: { readonly file: string; readonly firstLine: number; readonly lastLine: number };
}
export interface MachineRequests {
  /** Answers what is known now. What is not known yet is measured meanwhile, and `machine.changed` tells of it. */
  'machine.get': () => MachineInfo;
  /** Tries the devices that are not known yet, or all of them `again`, and answers when that is done. */
  'machine.measure': (p: { again: boolean }) => MachineInfo;
  /** Answers the resident bytes of the host and its jobs, and the free bytes of the machine. */
  'machine.memory': () => { used: number; free: number };
  /**
   * Answers which of these paths the store holds. The window may name no other paths than these and those a person chose in it.
   */
  'paths.known': (p: { paths: readonly string[] }) => readonly string[];
  /** Takes the notices that nobody has been told of yet, such as rows that cannot be read or a database that was healed. */
  'notices.take': () => readonly ProblemValue[];
}
export interface MachineEvents {
  'machine.changed': MachineInfo;
  /** Says that there are notices, which `notices.take` answers. */
  'notices.changed': null;
}
