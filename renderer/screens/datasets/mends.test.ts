import { expect, test } from 'vitest';
import type { DataCheck } from '../../../engine/contract.ts';
import { mendLabel, mendsOf } from './mends.ts';

const check = (severity: DataCheck['severity'], mend: DataCheck['mend'], ...rows: number[]): DataCheck => ({
  ...{ name: 'a', severity, title: '', detail: '', why: '', mend, rows, count: rows.length },
});

test('rows can be left out in one way, whatever else a check offers, and never all of them', () => {
  expect(mendsOf(check('blocking', { kind: 'exclude' }, 1), 10)).toEqual([{ kind: 'exclude' }]);
  expect(mendsOf(check('warning', { kind: 'replace' }, 1, 2), 10)).toEqual([{ kind: 'replace' }, { kind: 'exclude' }]);
  expect(mendsOf(check('warning', { kind: 'exclude' }, 0, 1), 2)).toEqual([]);
  expect(mendsOf(check('note', null), 2)).toEqual([]);
  expect(mendsOf(check('passed', { kind: 'map' }, 1), 2)).toEqual([{ kind: 'map' }]);
  expect(mendLabel({ kind: 'exclude' }, { rows: [4] })).toBe('Leave this row out');
  expect(mendLabel({ kind: 'exclude' }, { rows: [4, 5] })).toBe('Leave these 2\u00a0rows out');
});
