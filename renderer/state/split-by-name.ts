import { packedEndings } from '../../engine/data-files.ts';
import { fileName } from '../ui/format.ts';

const evaluation = ['eval', 'evaluation', 'val', 'valid', 'validate', 'validation', 'dev', 'test'];
const training = ['train', 'training'];
const wordsOf = (path: string): string[] =>
  fileName(path)
    .toLowerCase()
    .split(/[^a-z]+/);

/**
 * Splits files into those to train on and those to evaluate on. A file with `eval`, `valid`, `dev` or `test` in its name is for
 * evaluation, when another one is left to train on.
 */
export function splitByName(paths: readonly string[]): { paths: string[]; evalPaths: string[] } {
  const isEvaluation = (path: string): boolean => wordsOf(path).some((word) => evaluation.includes(word));
  const trained = paths.filter((path) => !isEvaluation(path));
  return trained.length === 0
    ? { paths: [...paths], evalPaths: [] }
    : { paths: trained, evalPaths: paths.filter(isEvaluation) };
}

/** Names a data set after its file, without the ending and `train`, or after the folder where nothing is left of the name. */
export function nameByPath(path: string): string {
  const packed = new RegExp(`\\.(${packedEndings.join('|')})$`, 'i');
  const name = fileName(path)
    // Marks that turn a text around have no place in a name.
    .replace(/[\u202a-\u202e\u2066-\u2069]/g, '')
    .replace(packed, '')
    .replace(/\.[a-z]+$/i, '');
  const words = name.split(/([^a-z]+)/i);
  while (training.includes(words.at(-1)?.toLowerCase() ?? '')) words.splice(-2);
  const rest = words.join('');
  if (rest !== '') return rest;
  return path.split(/[\\/]/).at(-2) || name;
}
