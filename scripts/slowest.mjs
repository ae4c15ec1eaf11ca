// Finds the tests that took longest, by what the reports of the suites say.
import path from 'node:path';
import { root } from './setup.mjs';

/**
 * Lists the tests that took longest.
 * @param {{ unit: object | null, journeys: object | null }} reports as vitest and playwright write them; null for a suite that did not run
 * @returns {string[]} a line for each of the slowest tests, the slowest first
 */
export function slowestTests({ unit, journeys }, count = 10) {
  const timed = [...unitTimes(unit?.testResults ?? []), ...journeyTimes(journeys?.suites ?? [])];
  const slowest = timed.sort((a, b) => b.seconds - a.seconds).slice(0, count);
  return slowest.map(({ seconds, name }) => `${seconds.toFixed(1).padStart(6)} s  ${name}`);
}

function unitTimes(files) {
  return files.flatMap((file) =>
    file.assertionResults.map(({ duration, fullName }) => ({
      seconds: (duration ?? 0) / 1000,
      name: `${path.relative(root, file.name).replaceAll('\\', '/')}: ${fullName}`,
    })),
  );
}

/** The time of a journey is that of all its tries. */
function journeyTimes(suites) {
  return suites.flatMap((suite) => [
    ...journeyTimes(suite.suites ?? []),
    ...(suite.specs ?? []).map(({ file, title, tests }) => ({
      seconds: tests.flatMap(({ results }) => results).reduce((sum, { duration }) => sum + duration, 0) / 1000,
      name: `e2e/${file}: ${title}`,
    })),
  ]);
}
