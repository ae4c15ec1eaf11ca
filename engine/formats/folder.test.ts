import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { makeFolder, writeFileAtomic } from './files.ts';
import { publishFolder } from './folder.ts';

describe('names as long as a file system takes', () => {
  it.each(['x'.repeat(255), 'é'.repeat(127)])('are written as any other', (name) => {
    const folder = mkdtempSync(join(tmpdir(), 'folder-'));
    try {
      publishFolder(join(folder, name), (inside) => writeFileAtomic(join(inside, name), 'text'));
      expect(readdirSync(folder)).toEqual([name]);
      expect(readFileSync(join(folder, name, name), 'utf8')).toBe('text');
      expect(() => publishFolder(join(folder, 'x'.repeat(256)), () => {})).toThrow(/too long/);
      expect(readdirSync(folder)).toEqual([name]);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});

describe.skipIf(!existsSync('/proc/self'))('a place that takes no folders', () => {
  it('is refused at once', () => {
    expect(() => makeFolder('/proc/no/such')).toThrow();
    expect(() => publishFolder('/proc/no/such', () => {})).toThrow("'/proc/no/such' cannot be written.");
  });
});
