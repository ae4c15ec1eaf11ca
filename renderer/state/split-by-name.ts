/** A file with `eval`, `valid`, `dev` or `test` in its name is for evaluation, when another one is left to train on. */
export function splitByName(paths: readonly string[]): { trainPaths: string[]; evalPaths: string[] } {
  const isEvaluation = (path: string): boolean =>
    /(^|[^a-z])(eval|evaluation|val|valid|validation|dev|test)([^a-z]|$)/i.test(path.split(/[\\/]/).at(-1) ?? '');
  const trainPaths = paths.filter((path) => !isEvaluation(path));
  return trainPaths.length === 0
    ? { trainPaths: [...paths], evalPaths: [] }
    : { trainPaths, evalPaths: paths.filter(isEvaluation) };
}
