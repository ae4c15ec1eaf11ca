import { expect, it } from 'vitest';
import { scaleText } from './scale.ts';

it('is one factor, or says how far those of the modules lie apart', () => {
  expect(scaleText({ scales: { least: 2, most: 2 } })).toBe('2');
  expect(scaleText({ scales: { least: 2, most: 4 } })).toBe('2 to 4 by module');
});

it('is none where an adapter has no matrices B and A', () => {
  expect(scaleText({ scales: null })).toBeNull();
});
