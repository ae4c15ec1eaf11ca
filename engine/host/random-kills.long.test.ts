import { expect, test } from 'vitest';
import { expectNothingLost } from '../testing/random-kills.ts';

test.skipIf(process.platform !== 'linux')(
  'two hundred kills of engine, jobs and commands lose no run and no step that was told',
  { timeout: 3_600_000 },
  async () => {
    const killed = await expectNothingLost(200);
    console.log(killed);
    for (const count of Object.values(killed)) expect(count).toBeGreaterThan(20);
  },
);
