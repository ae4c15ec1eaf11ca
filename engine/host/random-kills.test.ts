import { expect, test } from 'vitest';
import { expectNothingLost } from '../testing/random-kills.ts';

test.skipIf(process.platform !== 'linux')(
  'engine, jobs and commands killed at any moment lose no run and no step that was told',
  { timeout: 120_000 },
  async () => {
    const killed = await expectNothingLost(2);
    expect(Object.values(killed).reduce((sum, count) => sum + count)).toBe(2);
  },
);
