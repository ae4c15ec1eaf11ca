/** The computer, its devices and what the studio has to tell of itself. */
import type { ProblemValue } from '../problem.ts';

export type Provider = 'cpu' | 'cuda' | 'dml' | 'webgpu';
export interface DeviceInfo {
  readonly provider: Provider;
  readonly usable: boolean;
  /** Name of the device and what of it is used: `4 threads`. */
  readonly name: string;
  /** Why it is not usable, or null. */
  readonly reason: string | null;
  /** How it stood beside the processor; null where nothing could be measured. */
  readonly measured: DeviceMeasure | null;
}
export interface DeviceMeasure {
  /** Largest difference of a loss or gradient from the processor's, as a share of the largest element. */
  readonly difference: number;
  /** Billions of floating-point operations a second in products of large matrices. */
  readonly gflops: number;
}
export interface MachineInfo {
  readonly devices: readonly DeviceInfo[];
  /** The provider runs use when nothing else is asked for. */
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
  /** Rows that are done, where `done` counts the bytes of files of rows. */
  readonly rows?: number;
  /** The rows that are worked on: those that begin on these lines of a file. */
  readonly at?: { readonly file: string; readonly firstLine: number; readonly lastLine: number };
}
export interface MachineRequests {
  /** What is known now; what is not is tried meanwhile, and `machine.changed` tells. */
  'machine.get': () => MachineInfo;
  /** Answers when every device has been tried: only those not known yet, or all again. */
  'machine.measure': (p: { again: boolean }) => MachineInfo;
  /** Resident bytes of host and jobs, and what the machine has free. */
  'machine.memory': () => { used: number; free: number };
  /** Those of these paths that the store holds: the window may name no others but what a person chose in it. */
  'paths.known': (p: { paths: readonly string[] }) => readonly string[];
  /** What nobody was told so far: rows that cannot be read, a database that was healed. */
  'notices.take': () => readonly ProblemValue[];
}
export interface MachineEvents {
  'machine.changed': MachineInfo;
  /** There is something to tell: `notices.take` says what. */
  'notices.changed': null;
}
