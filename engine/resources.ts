/**
 * Finds the files shipped with the studio: in `LOWRANK_RESOURCES` in a packaged application, and in the folder of the checkout
 * otherwise.
 */
import { existsSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Problem } from './problem.ts';

export function resourcesDir(): string {
  const chosen = process.env['LOWRANK_RESOURCES'];
  if (chosen) return resolve(chosen);
  // A bundle of this file may lie some folders deeper than the source.
  for (let folder = dirname(fileURLToPath(import.meta.url)); ; folder = dirname(folder)) {
    const candidate = join(folder, 'resources');
    if (existsSync(join(candidate, 'models'))) return candidate;
    if (folder === dirname(folder)) break;
  }
  throw new Problem('file-missing', 'The folder of shipped files was not found.', 'Install Lowrank Studio again.');
}

export function embeddedModelPath(): string {
  return join(resourcesDir(), 'models', 'SmolLM2-135M-Instruct.Q4_1.gguf');
}

/** Returns the files of the sample that answers with one JSON object. */
export function sampleFiles(): { train: string; eval: string; recipe: string } {
  const folder = join(resourcesDir(), 'samples', 'json-orders');
  return { train: join(folder, 'train.jsonl'), eval: join(folder, 'eval.jsonl'), recipe: join(folder, 'recipe.json') };
}
