/** Measures what processes take of memory and processor, and how much memory they may have. */
import { readFileSync } from 'node:fs';
import { freemem, totalmem } from 'node:os';
import { join } from 'node:path';

/**
 * Returns the bytes that the given processes hold in memory together. A process that is gone, or cannot be asked here, counts
 * 0.
 */
export function residentBytes(pids: readonly number[]): number {
  let sum = 0;
  for (const pid of pids) {
    if (pid === process.pid) {
      sum += process.memoryUsage.rss();
      continue;
    }
    try {
      // proc(5): VmRSS in kB
      sum += Number(/^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0) * 1024;
    } catch {
      // The process has ended, or the system is not Linux.
    }
  }
  return sum;
}

/**
 * Returns what the system has counted of a process's work, as a text that changes whenever the process has computed or fetched
 * memory from the disk. Returns null where that cannot be asked.
 */
export function cpuTimeOf(pid: number): string | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    // proc(5): behind the name in brackets come state (3), majflt (12), utime (14) and stime (15).
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return [fields[9], fields[11], fields[12]].join(' ');
  } catch {
    return null;
  }
}

/** Holds the memory that is available to this process, in bytes. */
export interface MachineMemory {
  /** Gives the most that this process and those it starts may have. */
  readonly total: number;
  /**
   * Gives the part of `total` that nobody uses, or that the system would give up for them, such as copies of what is on the
   * disk.
   */
  readonly free: number;
}

/** Returns the memory of the machine, or less where a control group (container, systemd, batch queue) sets a limit. */
export function machineMemory(): MachineMemory {
  const [total, free] = [totalmem(), freemem()];
  const limits = process.platform === 'linux' ? groupLimits('/') : [];
  return {
    total: limits.reduce((least, limit) => Math.min(least, limit.total), total),
    free: limits.reduce((least, limit) => Math.min(least, limit.free), free),
  };
}

/**
 * Names the files of a control group that say how much memory it may have, how much it has, and how much of that is a copy of
 * the disk.
 */
interface GroupFiles {
  readonly limits: readonly string[];
  readonly used: string;
  readonly copies: readonly string[];
}
const version2: GroupFiles = {
  limits: ['memory.max', 'memory.high'],
  used: 'memory.current',
  copies: ['inactive_file', 'active_file'],
};
const version1: GroupFiles = {
  limits: ['memory.limit_in_bytes'],
  used: 'memory.usage_in_bytes',
  copies: ['total_inactive_file', 'total_active_file'],
};

/** Returns the limits of this process's control groups and of all groups above them. `root` is where the file system begins. */
export function groupLimits(root: string): MachineMemory[] {
  // cgroups(7): `0::/path` of version 2, `9:memory:/path` of version 1
  const lines = textOf(join(root, 'proc/self/cgroup')).split('\n');
  return lines.flatMap((line) => {
    const [, controllers, path] = /^\d+:([^:]*):(\/.*)$/.exec(line) ?? [];
    if (path === undefined) return [];
    if (controllers === '') return limitsUpFrom(join(root, 'sys/fs/cgroup'), path, version2);
    if (controllers!.split(',').includes('memory')) return limitsUpFrom(join(root, 'sys/fs/cgroup/memory'), path, version1);
    return [];
  });
}

/**
 * Returns the limits of the group at `path` and of those above it. In a container the path may be the one outside of it: then
 * only the group at the top exists, which is the container's own.
 */
function limitsUpFrom(top: string, path: string, files: GroupFiles): MachineMemory[] {
  const names = path.split('/').filter(Boolean);
  return Array.from({ length: names.length + 1 }, (_, depth) => join(top, ...names.slice(0, depth))).flatMap((group) => {
    // Without a limit version 2 says `max`, version 1 a number larger than any memory.
    const total = Math.min(...files.limits.map((name) => bytesOf(join(group, name)) ?? Infinity));
    const used = bytesOf(join(group, files.used));
    if (used === null || total >= 2 ** 60) return [];
    const stat = textOf(join(group, 'memory.stat'));
    const copied = files.copies.map((name) => Number(new RegExp(`^${name} (\\d+)$`, 'm').exec(stat)?.[1] ?? 0));
    return [{ total, free: Math.max(0, total - Math.max(0, used - copied.reduce((sum, bytes) => sum + bytes, 0))) }];
  });
}

function bytesOf(path: string): number | null {
  const text = textOf(path).trim();
  return /^\d+$/.test(text) ? Number(text) : null;
}

/** Returns the text of a file of the system, or an empty text where the file is missing. */
function textOf(path: string): string {
  try {
    return readFileSync(path, 'latin1');
  } catch {
    return '';
  }
}
