import { describe, expect, test } from 'vitest';
import { extent, sameDim, share, sum, type Dim } from './dim.ts';

const dims = new Map([
  ['time', 48],
  ['room', 5],
]);

describe('a size computed from names', () => {
  test.each<[Dim, string, number]>([
    [share('time', 3, 16), 'time 3/16', 9],
    [share('time', 2, 4), 'time 2/4', 24],
    [share(share('time', 3, 4), 1, 3), 'time 1/4', 12],
    [sum(['room', 'time']), 'room + time', 53],
    [sum([share('time', 1, 4), share('time', 1, 2)]), 'time 6/8', 36],
    [sum(['room', 3]), 'room + 3', 8],
    [share(sum(['room', 'time']), 2, 1), 'room 2/1 + time 2/1', 106],
    [share(10, 3, 5), '6', 6],
  ])('%s', (dim, name, size) => {
    expect(String(dim)).toBe(name);
    expect(extent(dim, dims)).toBe(size);
  });

  test('that comes to a number or a name is one', () => {
    expect(sum([share('time', 1, 4), share('time', 3, 4)])).toBe('time');
    expect(sum(['time', share('time', -1, 1), 7])).toBe(7);
  });

  test('is equal to another by what it comes to', () => {
    expect(sameDim(share('time', 1, 2), share('time', 2, 4))).toBe(true);
    expect(sameDim(sum(['room', 'time']), sum(['time', 'room']))).toBe(true);
    expect(sameDim(share('time', 1, 2), share('room', 1, 2))).toBe(false);
    expect(sameDim('time', sum(['time', 1]))).toBe(false);
  });
});
