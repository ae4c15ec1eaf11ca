import { it } from 'vitest';
import { expectSameAfterKills } from '../testing/killed-runs.ts';

it('runs killed at fifty random moments end with the same bits as one that was not', () => expectSameAfterKills(50), 3_600_000);
