import { it } from 'vitest';
import { expectSameAfterKills } from '../testing/killed-runs.ts';

it('a run killed at five random moments ends with the same bits as one that was not', () => expectSameAfterKills(5), 120_000);
