// `npm run check` runs every static check at once. Names given as arguments choose: `npm run check -- lint types`.
import { checkEnvironment, runChecks, staticChecks } from './checks.mjs';
import { root, setupOrExit } from './setup.mjs';

const chosen = process.argv.slice(2);
const { node } = await setupOrExit({});
process.chdir(root);
const all = staticChecks(node);
const checks = all.filter(({ name }) => chosen.length === 0 || chosen.some((part) => name.includes(part)));
if (checks.length === 0) {
  console.error(`No check has that in its name. There are: ${all.map(({ name }) => name).join(', ')}.`);
  process.exit(2);
}
const { passed, failed } = await runChecks(checks, checkEnvironment(node));
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed > 0 ? 1 : 0);
