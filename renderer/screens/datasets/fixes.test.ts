import { expect, test } from 'vitest';
import type { DataCheck } from '../../../engine/contract.ts';
import { fixLabel, fixesOf } from './fixes.ts';

const check = (severity: DataCheck['severity'], fix: DataCheck['fix'], ...rows: number[]): DataCheck => ({
  ...{ name: 'a', severity, title: '', detail: '', why: '', fix, rows, count: rows.length },
});

test('rows can be left out in one way, whatever else a check offers, and never all of them', () => {
  expect(fixesOf(check('blocking', { kind: 'exclude' }, 1), 10)).toEqual([{ kind: 'exclude' }]);
  expect(fixesOf(check('warning', { kind: 'replace' }, 1, 2), 10)).toEqual([{ kind: 'replace' }, { kind: 'exclude' }]);
  expect(fixesOf(check('warning', { kind: 'exclude' }, 0, 1), 2)).toEqual([]);
  expect(fixesOf(check('note', null), 2)).toEqual([]);
  expect(fixesOf(check('passed', { kind: 'map' }, 1), 2)).toEqual([{ kind: 'map' }]);
  expect(fixLabel({ kind: 'exclude' }, { rows: [4] })).toBe('Leave this row out');
  expect(fixLabel({ kind: 'exclude' }, { rows: [4, 5] })).toBe('Leave these 2\u00a0rows out');
});
