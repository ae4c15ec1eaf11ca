import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { cpuTimeOf, groupLimits, machineMemory } from './memory.ts';

let root: string;
beforeEach(() => (root = mkdtempSync(join(tmpdir(), 'groups-'))));
afterEach(() => rmSync(root, { recursive: true }));
function put(files: Readonly<Record<string, string>>): void {
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(dirname(join(root, name)), { recursive: true });
    writeFileSync(join(root, name), `${text}\n`);
  }
}

test('the limits of a control group and of those above it count, without what is only a copy of the disk', () => {
  put({
    'proc/self/cgroup': '0::/user.slice/studio.scope',
    'sys/fs/cgroup/memory.stat': 'anon 5',
    'sys/fs/cgroup/user.slice/memory.max': '8000',
    'sys/fs/cgroup/user.slice/memory.high': '6000',
    'sys/fs/cgroup/user.slice/memory.current': '3000',
    'sys/fs/cgroup/user.slice/studio.scope/memory.max': '4000',
    'sys/fs/cgroup/user.slice/studio.scope/memory.high': 'max',
    'sys/fs/cgroup/user.slice/studio.scope/memory.current': '2500',
    'sys/fs/cgroup/user.slice/studio.scope/memory.stat': 'anon 1000\ninactive_file 700\nactive_file 800',
  });
  expect(groupLimits(root)).toEqual([
    { total: 6000, free: 3000 },
    { total: 4000, free: 3000 },
  ]);
});

test('a container sees its own group at the top, and version 1 says it in other words', () => {
  put({
    'proc/self/cgroup': '9:cpu,cpuacct:/docker/abc\n7:hugetlb,memory:/docker/abc',
    'sys/fs/cgroup/memory/memory.limit_in_bytes': '2000',
    'sys/fs/cgroup/memory/memory.usage_in_bytes': '900',
    'sys/fs/cgroup/memory/memory.stat': 'cache 400\ntotal_inactive_file 300\ntotal_active_file 100',
  });
  expect(groupLimits(root)).toEqual([{ total: 2000, free: 1500 }]);
});

test('groups without a limit, and systems without groups, take nothing away', () => {
  expect(groupLimits(root)).toEqual([]);
  put({
    'proc/self/cgroup': '1:memory:/\n0::/a',
    'sys/fs/cgroup/memory/memory.limit_in_bytes': '9223372036854771712',
    'sys/fs/cgroup/memory/memory.usage_in_bytes': '900',
    'sys/fs/cgroup/a/memory.max': 'max',
    'sys/fs/cgroup/a/memory.current': '900',
  });
  expect(groupLimits(root)).toEqual([]);
  const { total, free } = machineMemory();
  expect(free).toBeGreaterThan(0);
  expect(free).toBeLessThanOrEqual(total);
});

test.runIf(process.platform === 'linux')('the work of a process is told apart from rest', () => {
  const before = cpuTimeOf(process.pid);
  const until = process.cpuUsage().user + 50_000;
  while (process.cpuUsage().user < until);
  expect(cpuTimeOf(process.pid)).not.toBe(before);
  expect(cpuTimeOf(2 ** 22 + 1)).toBeNull();
});
