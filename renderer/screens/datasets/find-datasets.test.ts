import { expect, test } from 'vitest';
import type { Dataset, DatasetVersion } from '../../../engine/contract.ts';
import { filesOf, foundDatasets } from './find-datasets.ts';

const set = (name: string, format: DatasetVersion['format'], ...files: object[]) =>
  ({ name, version: { format, files, mix: null } }) as unknown as Dataset;
const faq = set('FAQ', 'alpaca', { path: '/data/questions.csv' }, { path: 'C:\\data\\more.csv' });
const notes = set('notes', 'text', { path: '/texts/a.md', folder: '/texts' }, { path: '/texts/b.md', folder: '/texts' });
const parts = [{ name: 'FAQ' }, { name: 'old notes' }];
const mixed = {
  name: 'All',
  version: { format: 'alpaca', files: [{ path: '/data/questions.csv' }], mix: { parts, seed: 0 } },
} as unknown as Dataset;

test('a data set is found by words of its name, files or format', () => {
  const found = (text: string) => foundDatasets([faq, notes], text);
  expect(found(' ')).toEqual([faq, notes]);
  expect(found('faq')).toEqual([faq]);
  expect(found('QUEST alp')).toEqual([faq]);
  expect(found('plain text')).toEqual([notes]);
  expect(found('quest text')).toEqual([]);
});

test('a mix is found as a mix and by its parts, which are what it is made of', () => {
  expect(foundDatasets([faq, notes, mixed], 'mix')).toEqual([mixed]);
  expect(foundDatasets([faq, notes, mixed], 'old')).toEqual([mixed]);
  expect(filesOf(mixed)).toBe('FAQ and 1 more');
});

test('files are named in a few words, and a folder by itself', () => {
  expect(filesOf(faq)).toBe('questions.csv and 1 more');
  expect(filesOf(notes)).toBe('texts');
});
