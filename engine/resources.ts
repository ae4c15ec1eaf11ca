/**
 * Finds the files shipped with the studio: in `LOWRANK_RESOURCES` in a packaged application, and in the folder of the checkout
 * otherwise.
 */
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { EvaluatorChoice, SampleInfo, SampleName } from './contract.ts';
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

export const sampleNames: readonly SampleName[] = ['json-orders', 'house-voice', 'brief-answers'];

/** Returns the files of a sample. Only one whose contestants need a schema has `schema`. */
export function sampleFiles(
  name: SampleName,
): Record<'train' | 'validate' | 'test' | 'recipe' | 'evaluate' | 'schema', string> {
  const folder = join(resourcesDir(), 'samples', name);
  return {
    train: join(folder, 'train.jsonl'),
    validate: join(folder, 'validate.jsonl'),
    test: join(folder, 'test.jsonl'),
    recipe: join(folder, 'recipe.json'),
    evaluate: join(folder, 'evaluate.json'),
    schema: join(folder, 'schema.json'),
  };
}

/** Says how a sample is evaluated. */
export interface SampleEvaluation {
  /** Limits the tokens of an answer. */
  readonly maxTokens: number;
  /** Lists the evaluators. */
  readonly evaluators: readonly EvaluatorChoice[];
  /** Names those of the evaluators that must all find an answer good for it to be right. */
  readonly decisive: readonly string[];
  /** Lists what the adapter is compared with, as `lowrank evaluate --against` takes it. */
  readonly against: readonly string[];
}

/** Reads what a sample is and how it is evaluated. */
export function readSample(name: SampleName): { readonly info: SampleInfo; readonly evaluation: SampleEvaluation } {
  const content = JSON.parse(readFileSync(sampleFiles(name).evaluate, 'utf8')) as Omit<SampleInfo, 'name'> & SampleEvaluation;
  const { title, summary, right, ...evaluation } = content;
  return { info: { name, title, summary, right }, evaluation };
}
