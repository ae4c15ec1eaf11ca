import { expect, test } from 'vitest';
import { sources } from './build.mjs';

test('the window is built anew when something that its page or shell imports is another', () => {
  const files = sources();
  expect(files).toEqual(expect.arrayContaining(['electron/main.ts', 'renderer/index.html', 'package-lock.json']));
  // The engine's files that the page uses, and what these use.
  expect(files).toEqual(
    expect.arrayContaining(['engine/mapped-text.ts', 'engine/unseen-characters.ts', 'engine/recipe/scale.ts']),
  );
  expect(files).not.toContain('engine/data/rows.ts');
});
