/** A proof in words for people who never saw a logit. */
import type { ExportRecord, ProofCheck } from '../../../engine/contract.ts';
import { count, figure } from '../../ui/format.ts';

/** What each check of a proof asks, by its name; in the order they are shown. */
const questions: Readonly<Record<string, string>> = {
  Structure: 'Every matrix there, in its size?',
  Tokenizer: 'Does text give the same tokens?',
  'Chat template': 'Is a chat written the same way?',
  'Largest logit difference': 'How far did any token score move?',
  'Same most likely token': 'Is the next token still the same?',
};

/** The names of all checks of some proofs, the known ones first. */
export function checkNames(records: readonly ExportRecord[]): string[] {
  const found = new Set(records.flatMap((record) => record.proof?.checks.map((check) => check.name) ?? []));
  const known = Object.keys(questions).filter((name) => found.has(name));
  return [...new Set([...known, ...found])];
}

export function question(name: string): string {
  return questions[name] ?? '';
}

/** An agreement is a share that has a smallest allowed value; a difference has a largest one. */
const isShare = (check: ProofCheck): boolean => /likely/.test(check.name);

export function valueText(check: ProofCheck, value: number): string {
  if (isShare(check)) return `${figure(Math.floor(value * 10_000) / 100)} %`;
  return Number.isInteger(value) ? count(value) : figure(value, 2);
}

/** In signs where there is no room for words. */
export function limitText(check: ProofCheck, narrow = false): string {
  if (check.value === null) return check.passed ? '' : check.text;
  if (check.limit === null) return 'no limit';
  const [least, most] = narrow ? ['≥', '≤'] : ['at least', 'at most'];
  return `${isShare(check) ? least : most} ${valueText(check, check.limit)}`;
}

/** A file that is kept although it missed a limit: rounding did it, and the person decides. Null when there is nothing to warn of. */
export function warning(record: ExportRecord): { code: string; message: string; hint: string } | null {
  const missed = record.proof?.checks.filter((check) => !check.passed) ?? [];
  if (record.state !== 'done' || missed.length === 0) return null;
  const sentences = missed.map((check) => {
    const [value, limit] = [check.value ?? 0, check.limit ?? 0];
    return isShare(check)
      ? `It would say another next token in ${figure((1 - value) * 100, 3)} % of places; ${figure((1 - limit) * 100, 3)} % are allowed.`
      : `The score of a next token moved by up to ${valueText(check, value)}; ${valueText(check, limit)} is allowed.`;
  });
  return {
    code: 'limit-missed',
    message: sentences.join(' '),
    hint: 'Rounding its numbers did this. The file is kept: try it before you rely on it, or write a format with finer numbers (f32 is exact).',
  };
}
