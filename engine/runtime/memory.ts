/** What processes take of memory and processor, and what there is of memory for them. */
import { readFileSync } from 'node:fs';
import { freemem, totalmem } from 'node:os';
import { join } from 'node:path';

/** Bytes the given processes hold in memory together; those that are gone, or cannot be asked here, count 0. */
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
      // Gone, or no Linux.
    }
  }
  return sum;
}

/**
 * What the system has counted of a process's work: another text whenever it has computed or fetched memory from the disk. Null
 * where that cannot be asked.
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

export interface MachineMemory {
  /** Bytes this process and those it starts may have at most. */
  readonly total: number;
  /** Bytes of these that nobody has, or that are given up for them, as copies of what is on the disk are. */
  readonly free: number;
}

/** What there is of memory: that of the machine, or less where a control group (container, systemd, batch queue) sets a limit. */
export function machineMemory(): MachineMemory {
  const [total, free] = [totalmem(), freemem()];
  const limits = process.platform === 'linux' ? groupLimits('/') : [];
  return {
    total: limits.reduce((least, limit) => Math.min(least, limit.total), total),
    free: limits.reduce((least, limit) => Math.min(least, limit.free), free),
  };
}

/** The files of a control group that say how much it may have, how much it has, and what of that is a copy of the disk. */
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

/** The limits of this process's control groups, each with those above it; `root` is where the file system begins. */
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

/** In a container the path may be that outside of it: then only the group at the top is there, which is the container's own. */
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

/** The text of a file of the system, or an empty one where there is none. */
function textOf(path: string): string {
  try {
    return readFileSync(path, 'latin1');
  } catch {
    return '';
  }
}
