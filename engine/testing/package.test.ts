/** The application is packed with the engine, and with nothing of its tests. */
import { globSync, readFileSync } from 'node:fs';
import { join, matchesGlob } from 'node:path';
import { expect, test } from 'vitest';

const root = join(import.meta.dirname, '../..');
/** The patterns under `files:` that are about the engine's own files; the last that matches a file decides. */
const section = /^files:\n((?: .*\n)+)/m.exec(readFileSync(join(root, 'electron-builder.yml'), 'utf8'))![1]!;
const patterns = [...section.matchAll(/^ {2}- '?([^'\n]+)'?$/gm)]
  .map(([, pattern]) => pattern!)
  .filter((one) => !/node_modules/.test(one));
const all = globSync('engine/**/*.*', { cwd: root }).map((path) => path.replaceAll('\\', '/'));
const packed = all.filter((path) =>
  patterns.reduce((taken, pattern) => (matchesGlob(path, pattern.replace(/^!/, '')) ? !pattern.startsWith('!') : taken), false),
);

test('every pattern means something', () => {
  for (const pattern of patterns.filter((one) => /engine/.test(one)))
    expect(
      all.some((path) => matchesGlob(path, pattern.replace(/^!/, ''))),
      pattern,
    ).toBe(true);
});

test('no test, no helper of tests and nothing that asks for their runner is packed', () => {
  expect(packed).toContain('engine/host.ts');
  expect(packed).toContain('engine/jobs/run-job.ts');
  expect(packed.filter((path) => /\.test\.ts$|^engine\/(testing|golden)\//.test(path))).toEqual([]);
  const asking = packed.filter((path) =>
    /from '(vitest|[^']*(\.test\.ts|\/testing\/[^']*))'/.test(readFileSync(join(root, path), 'utf8')),
  );
  expect(asking).toEqual([]);
});
