import { existsSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { makeFolder } from './files.ts';
import { publishFolder } from './folder.ts';

describe.skipIf(!existsSync('/proc/self'))('a place that takes no folders', () => {
  it('is refused at once', () => {
    expect(() => makeFolder('/proc/no/such')).toThrow();
    expect(() => publishFolder('/proc/no/such', () => {})).toThrow("'/proc/no/such' cannot be written.");
  });
});
