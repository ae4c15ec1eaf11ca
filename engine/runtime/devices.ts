/** Which processor or accelerator a run uses, and why not a better one. */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { availableParallelism, cpus, totalmem } from 'node:os';
import type { DeviceInfo, MachineInfo } from '../contract.ts';

/** Threads worth using: one per physical core (two on one core share its vector units), never more than this process may use. */
export function cpuThreads(): number {
  return Math.max(1, Math.min(physicalCores() ?? availableParallelism(), availableParallelism()));
}

function physicalCores(): number | null {
  try {
    if (process.platform === 'linux') {
      const cores = new Set<string>();
      for (const block of readFileSync('/proc/cpuinfo', 'utf8').split('\n\n')) {
        const core = /^core id\s*:\s*(\d+)/m.exec(block)?.[1];
        const socket = /^physical id\s*:\s*(\d+)/m.exec(block)?.[1];
        if (core !== undefined) cores.add(`${socket ?? 0}/${core}`);
      }
      return cores.size > 0 ? cores.size : null;
    }
    if (process.platform === 'darwin')
      return Number(execFileSync('sysctl', ['-n', 'hw.physicalcpu'], { encoding: 'utf8' })) || null;
  } catch {
    return null;
  }
  return null;
}

export function processor(): DeviceInfo {
  const threads = cpuThreads();
  const name = `${cpus()[0]?.model.trim() || process.arch}, ${threads} ${threads === 1 ? 'thread' : 'threads'}`;
  return { provider: 'cpu', usable: true, name, reason: null, measured: null };
}

/** The usable device that is fastest; the processor, while nothing was measured. */
export function fastest(devices: readonly DeviceInfo[]): DeviceInfo {
  const rate = ({ measured }: DeviceInfo): number => measured?.gflops ?? 0;
  return devices.filter(({ usable }) => usable).reduce((best, device) => (rate(device) > rate(best) ? device : best));
}

const notYet = 'Training and generation on it are not supported yet; the processor is used.';

/** Every provider: usable or not, and why not. */
export function machineInfo(): MachineInfo {
  const devices: DeviceInfo[] = [
    processor(),
    {
      provider: 'cuda',
      usable: false,
      name: 'NVIDIA GPU (CUDA)',
      reason:
        process.platform === 'darwin'
          ? 'CUDA does not exist on macOS.'
          : nvidiaDriver()
            ? `An NVIDIA driver is there. ${notYet}`
            : 'No NVIDIA driver was found.',
      measured: null,
    },
    { provider: 'webgpu', usable: false, name: 'GPU (WebGPU)', reason: notYet, measured: null },
    {
      provider: 'dml',
      usable: false,
      name: 'GPU (DirectML)',
      reason: process.platform === 'win32' ? notYet : 'DirectML exists on Windows only.',
      measured: null,
    },
  ];
  return { devices, chosen: fastest(devices).provider, threads: cpuThreads(), memoryTotal: totalmem() };
}

function nvidiaDriver(): boolean {
  try {
    if (process.platform === 'linux') return readFileSync('/proc/driver/nvidia/version', 'utf8') !== '';
    execFileSync('nvidia-smi', ['-L'], { stdio: 'ignore', timeout: 3000 });
    return true;
  } catch {
    return false;
  }
}
