import { expect, test } from 'vitest';
import type { ExportRecord } from '../../engine/contract.ts';
import { whatStands } from './what-stands.ts';

const record = (id: string, path: string, state: ExportRecord['state'] = 'done') => ({ id, path, state }) as ExportRecord;

test('a file that was written again is one export, and a later attempt that failed stands beside it', () => {
  const records = [
    record('failed later', '/one.gguf', 'failed'),
    record('again', '/one.gguf'),
    record('other', '/two.gguf'),
    record('failed before', '/one.gguf', 'failed'),
    record('first', '/one.gguf'),
  ];
  expect(whatStands(records).map(({ id }) => id)).toEqual(['failed later', 'again', 'other']);
  expect(whatStands(records.slice(3)).map(({ id }) => id)).toEqual(['failed before', 'first']);
});
