/** Tells which processor and accelerators this machine has, and why an accelerator cannot be used. */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { availableParallelism, cpus, release } from 'node:os';
import type { DeviceInfo, Provider } from '../contract.ts';
import { Problem } from '../problem.ts';

/**
 * Returns the number of threads worth using: one per physical core (two on one core share its vector units), and never more
 * than this process may use.
 */
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

/** Describes the processor as a device, with the threads a run would use. */
export function processor(): DeviceInfo {
  const threads = cpuThreads();
  const name = `${cpus()[0]?.model.trim() || process.arch}, ${threads} ${threads === 1 ? 'thread' : 'threads'}`;
  return { provider: 'cpu', usable: true, name, reason: null, measured: null };
}

/**
 * Returns the usable device that was measured as the fastest. Where nothing was measured, that is the first one, the processor.
 */
export function fastest(devices: readonly DeviceInfo[]): DeviceInfo {
  const rate = ({ measured }: DeviceInfo): number => measured?.gflops ?? 0;
  return devices.filter(({ usable }) => usable).reduce((best, device) => (rate(device) > rate(best) ? device : best));
}

/**
 * Chooses the device to train on, and refuses one that was requested and cannot be used. With `auto` a resumed run stays on the
 * device `before` while that can be used.
 */
export function chooseDevice(
  asked: Provider | 'auto',
  devices: readonly DeviceInfo[] = [processor()],
  before: Provider | null = null,
): DeviceInfo {
  const best = fastest(devices);
  const own = devices.find(({ provider }) => provider === (asked === 'auto' ? before : asked));
  const device = asked === 'auto' ? (own?.usable === true ? own : best) : own;
  if (device?.usable) return device;
  throw new Problem(
    'device-unavailable',
    `The device '${asked}' cannot be used: ${device?.reason ?? 'it is not known.'}`,
    `Use '${best.provider}' or 'auto'.`,
  );
}

/** Describes an accelerator, as far as it can be judged without trying it. */
export interface Candidate {
  readonly provider: Exclude<Provider, 'cpu'>;
  readonly name: string;
  /** Says why the accelerator cannot be present, or is null where only a trial can tell. */
  readonly missing: string | null;
}

/** Lists the accelerators the runtime knows. `cuda` says whether the libraries of the CUDA provider are installed. */
export function accelerators({ cuda }: { readonly cuda: boolean }): readonly Candidate[] {
  return [
    { provider: 'cuda', name: 'NVIDIA GPU (CUDA)', missing: noCuda(cuda) },
    { provider: 'webgpu', name: 'GPU (WebGPU)', missing: noWebgpu() },
    {
      provider: 'dml',
      name: 'GPU (DirectML)',
      missing: process.platform === 'win32' ? null : 'DirectML exists on Windows only.',
    },
  ];
}

function noCuda(installed: boolean): string | null {
  if (process.platform === 'darwin') return 'CUDA does not exist on macOS.';
  if (process.platform === 'win32') return 'The runtime has CUDA on Linux only; WebGPU and DirectML use the same GPU.';
  if (process.arch !== 'x64') return 'The runtime has CUDA on x64 processors only.';
  if (nvidiaDriver() === null) return 'No NVIDIA driver was found.';
  return installed ? null : "An NVIDIA driver is there; 'lowrank devices --install cuda' fetches what else CUDA needs.";
}

function noWebgpu(): string | null {
  const { platform, arch, env } = process;
  if (platform === 'linux' && arch !== 'x64') return 'The runtime has no WebGPU for Linux on this processor.';
  if (platform === 'darwin' && arch !== 'arm64') return 'The runtime has no WebGPU for Macs with this processor.';
  if (platform !== 'linux' || env['VK_ICD_FILENAMES'] || env['VK_DRIVER_FILES']) return null;
  return linuxGpus().length > 0 ? null : 'No GPU was found.';
}

/** Lists the devices whose presence shows that a GPU has a driver. */
function linuxGpus(): string[] {
  const found = existsSync('/dev/dri') ? readdirSync('/dev/dri').filter((name) => name.startsWith('renderD')) : [];
  return [...found, ...['/dev/nvidiactl', '/dev/dxg'].filter((path) => existsSync(path))];
}

/** Returns a hash of system, processor, GPUs and driver: it changes with whatever an accelerator's results may depend on. */
export function machineKey(): string {
  const gpus = process.platform === 'linux' ? linuxGpus().map((name) => [name, pciOf(name)]) : [];
  const { VK_ICD_FILENAMES, VK_DRIVER_FILES } = process.env;
  const parts = [
    process.platform,
    process.arch,
    release(),
    processor().name,
    gpus,
    nvidiaDriver(),
    VK_ICD_FILENAMES,
    VK_DRIVER_FILES,
  ];
  return createHash('sha256').update(JSON.stringify(parts)).digest('hex').slice(0, 16);
}

function pciOf(name: string): string {
  const of = (part: string): string => readFileSync(`/sys/class/drm/${name}/device/${part}`, 'utf8').trim();
  try {
    return `${of('vendor')} ${of('device')}`;
  } catch {
    return '';
  }
}

/** Returns a text that names the driver's version, or null where there is no driver. */
function nvidiaDriver(): string | null {
  try {
    if (process.platform === 'linux') return readFileSync('/proc/driver/nvidia/version', 'utf8');
    return execFileSync('nvidia-smi', ['-L'], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'], timeout: 3000 });
  } catch {
    return null;
  }
}
