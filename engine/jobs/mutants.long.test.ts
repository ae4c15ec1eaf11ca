import { describe, it } from 'vitest';
import { expectBounded, subjects } from '../testing/mutants.ts';

describe('files changed at random in thousands of ways are values or problems in words, in bounds of time and memory', () => {
  it.each(Object.keys(subjects))('%s', (name) => expectBounded(name, name === 'a chat template' ? 150 : 2000, 7), 3_600_000);
});
