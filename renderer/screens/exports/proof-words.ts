/** A proof in words for people who never saw a logit. */
import type { ExportRecord, ProofCheck } from '../../../engine/contract.ts';
import { count, figure } from '../../ui/format.ts';

/** What each check of a proof asks, by its name. */
const questions: Readonly<Record<string, string>> = {
  Structure: 'Is every matrix there, in its size?',
  Tokenizer: 'Does text become the same tokens?',
  'Chat template': 'Are conversations written the same way?',
  'Largest logit difference': 'How far did the score of any next token move?',
  'Same most likely token': 'How often would it say the same next token?',
};

export function question(name: string): string {
  return questions[name] ?? '';
}

/** An agreement is a share that has a smallest allowed value; a difference has a largest one. */
const isShare = (check: ProofCheck): boolean => /likely/.test(check.name);

export function valueText(check: ProofCheck, value: number): string {
  if (isShare(check)) return `${figure(Math.floor(value * 10_000) / 100)} %`;
  return Number.isInteger(value) ? count(value) : figure(value, 2);
}

export function limitText(check: ProofCheck): string {
  if (check.value === null) return check.passed ? '' : check.text;
  if (check.limit === null) return 'no limit';
  return `${isShare(check) ? 'at least' : 'at most'} ${valueText(check, check.limit)}`;
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
