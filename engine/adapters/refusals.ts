/** Writes the errors for adapters of any program that do not fit a model; each names the tensor. */
import { Problem } from '../problem.ts';

export interface Named {
  readonly name: string;
  readonly shape: readonly number[];
}

export function mismatch(what: string): Problem {
  return new Problem('adapter-mismatch', `${what}.`, 'Use the adapter with the base model it was trained on.');
}

/** Returns the error for tensors that were not understood. */
export function leftOver(path: string, tensors: readonly Named[]): Problem {
  const most = 5;
  const listed = tensors.slice(0, most).map(({ name, shape }) => `'${name}' [${shape.join(', ')}]`);
  const more = tensors.length > most ? ` and ${tensors.length - most} more` : '';
  const one = tensors.length === 1;
  return mismatch(
    `${path} has ${one ? 'a tensor that has' : 'tensors that have'} no place in this model: ${listed.join(', ')}${more}`,
  );
}

/** Returns the error for a factor `there` whose other half `lacking` is missing. */
export function halfPair(path: string, there: string, lacking: string): Problem {
  return new Problem(
    'adapter-mismatch',
    `${path} has '${there}' but not the other factor of the pair, '${lacking}'.`,
    'The adapter is incomplete; copy it again.',
  );
}

/** Returns the error for two keys that mean the same tensor. */
export function foundTwice(path: string, one: string, other: string): Problem {
  return new Problem(
    'adapter-mismatch',
    `${path} has the same tensor twice: as '${one}' and as '${other}'.`,
    'The file holds two adapters or was put together wrongly: save one adapter alone.',
  );
}

export function wrongShape(path: string, { name, shape }: Named, wanted: readonly number[]): string {
  return `${path}: '${name}' is [${shape.join(', ')}], but for this model it must be [${wanted.join(', ')}]`;
}

/** Returns the error for a factor whose rank differs from the one that the config states. */
export function wrongRank(is: string, rank: number, stated: number, module: string): Problem {
  return new Problem(
    'adapter-mismatch',
    `${is}: its rank is ${rank}, and adapter_config.json says ${stated} for '${module}'.`,
    'Correct the rank in the config if you know it; else config and weights belong to different adapters.',
  );
}
