import { describe, it } from 'vitest';
import { expectBounded, subjects } from '../testing/mutants.ts';

/** A chat template is rendered in a process of its own, a tokenizer is large: few are enough here. */
const slow = new Set(['a chat template', 'tokenizer.json', 'tokenizer_config.json']);

describe('a file changed at random is a value or a problem in words, in bounds of time and memory', () => {
  it.each(Object.keys(subjects))('%s', (name) => expectBounded(name, slow.has(name) ? 6 : 50), 60_000);
});
