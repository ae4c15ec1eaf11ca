/** Puts a proof into words for people who have never seen a logit. */
import type { ExportRecord, ProofCheck } from '../../../engine/contract.ts';
import { count, figure } from '../../ui/format.ts';

/** Says what each check of a proof asks, by its name, in the order in which the checks are shown. */
const questions: Readonly<Record<string, string>> = {
  Structure: 'Is every matrix there, in the right size?',
  Tokenizer: 'Does text give the same tokens?',
  'Chat template': 'Is a chat written the same way?',
  Modelfile: 'Does Ollama write a chat the same way?',
  Weights: 'How far off is the worst matrix?',
  'Largest logit difference': 'How far did any token score move?',
  'Same most likely token': 'Is the next token still the same?',
  Distributions: 'How far apart are the guesses?',
  'Effect of the adapter': 'How much of the training survives?',
};

/** Returns the names of all checks of some proofs, the known ones first. */
export function checkNames(records: readonly ExportRecord[]): string[] {
  const found = new Set(records.flatMap((record) => record.proof?.checks.map((check) => check.name) ?? []));
  const known = Object.keys(questions).filter((name) => found.has(name));
  return [...new Set([...known, ...found])];
}

export function question(name: string): string {
  return questions[name] ?? '';
}

/** Names the checks of agreement. An agreement is a share that has a smallest allowed value; a difference has a largest one. */
const shares: readonly string[] = ['Same most likely token', 'Effect of the adapter'];
const isShare = (check: ProofCheck): boolean => shares.includes(check.name);

/** Says how much of the training is in the file, or is null where that was not measured. */
export function survival(record: ExportRecord): { readonly text: string; readonly enough: boolean } | null {
  const check = record.proof?.checks.find(({ name }) => name === 'Effect of the adapter');
  if (check === undefined || check.value === null) return null;
  return {
    text: `${valueText(check, Math.max(0, check.value))} of what the training changed is in this file.`,
    enough: check.passed,
  };
}

/** Says what a check found that has no number. Where neither side has the thing, nothing was compared. */
export function outcomeText(check: ProofCheck): string {
  if (check.compared === false) return 'none';
  return check.passed ? 'same' : 'differs';
}

export function valueText(check: ProofCheck, value: number): string {
  if (isShare(check)) return `${figure(Math.floor(value * 10_000) / 100)} %`;
  return Number.isInteger(value) ? count(value) : figure(value, 2);
}

/** Returns the limit of a check, in signs where there is no room for words. */
export function limitText(check: ProofCheck, narrow = false): string {
  if (check.compared === false) return 'on either side';
  if (check.value === null) return check.passed ? '' : check.text;
  if (check.limit === null) return 'no limit';
  const [least, most] = narrow ? ['≥', '≤'] : ['at least', 'at most'];
  return `${isShare(check) ? least : most} ${valueText(check, check.limit)}`;
}

/** Warns of a file that is kept although rounding made it miss a limit; null where there is nothing to warn of. */
export function warning(record: ExportRecord): { code: string; message: string; hint: string } | null {
  const missed = record.proof?.checks.filter((check) => !check.passed) ?? [];
  if (record.state !== 'done' || missed.length === 0) return null;
  const sentences = missed.map((check) => {
    const [value, limit] = [check.value ?? 0, check.limit ?? 0];
    const [found, allowed] = [valueText(check, value), valueText(check, limit)];
    switch (check.name) {
      case 'Same most likely token':
        return `It predicts another next token in ${figure((1 - value) * 100, 3)} % of places; ${figure((1 - limit) * 100, 3)} % are allowed.`;
      case 'Effect of the adapter':
        return `Only ${valueText(check, Math.max(0, value))} of what the training changed survives; ${allowed} should.`;
      case 'Weights':
        return `The worst matrix is off by ${found} of itself; ${allowed} is allowed.`;
      case 'Largest logit difference':
        return `The score of a next token moved by up to ${found}; ${allowed} is allowed.`;
      default:
        return `${check.name}: ${check.text}.`;
    }
  });
  return {
    code: 'limit-missed',
    message: sentences.join(' '),
    hint: 'Rounding its numbers did this. The file is kept: try it before you rely on it, or write a format with finer numbers (f32 is exact).',
  };
}
