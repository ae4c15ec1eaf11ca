import { expect, test } from 'vitest';
import type { Dataset } from '../../engine/contract.ts';
import { madeOf, sameRows } from './known-data.ts';

const dataset = (id: string, hash: string, ...files: [split: string, path: string][]) =>
  ({ id, version: { mix: null, hash, files: files.map(([split, path]) => ({ split, path })) } }) as unknown as Dataset;
const orders = dataset('orders', 'a', ['train', '/orders.jsonl'], ['train', '/more.jsonl'], ['eval', '/test.jsonl']);
const faq = dataset('faq', 'b', ['train', '/faq.jsonl']);

test('the same files are known again, in any order, and each for what it is used', () => {
  const files = { paths: ['/more.jsonl', '/orders.jsonl'], evalPaths: ['/test.jsonl'] };
  expect(madeOf(files, [faq, orders])).toBe(orders);
  expect(madeOf({ paths: ['/faq.jsonl'] }, [faq, orders])).toBe(faq);
  expect(madeOf({ paths: ['/orders.jsonl'] }, [faq, orders])).toBeNull();
  expect(madeOf({ paths: files.paths }, [faq, orders])).toBeNull();
  expect(madeOf({ paths: [], evalPaths: ['/faq.jsonl'] }, [faq, orders])).toBeNull();
});

test('a folder is known again, whatever texts are in it', () => {
  const files = ['/texts/a.md', '/texts/b.md'].map((path) => ({ split: 'train', path, folder: '/texts' }));
  const texts = { id: 'texts', version: { mix: null, hash: 'c', files } } as unknown as Dataset;
  expect(madeOf({ paths: ['/texts'] }, [faq, texts])).toBe(texts);
  expect(madeOf({ paths: ['/texts/a.md'] }, [faq, texts])).toBeNull();
});

test('a copy of the files is known by what it holds', () => {
  const copy = dataset('copy', 'b', ['train', '/elsewhere/faq.jsonl']);
  expect(sameRows(copy, [orders, copy, faq])).toBe(faq);
  expect(sameRows(orders, [orders, copy, faq])).toBeNull();
});
