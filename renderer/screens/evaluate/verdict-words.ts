/** Divides the sentence of a verdict into what is claimed, what it rests on, and the rest. */
import type { Evaluation } from '../../../engine/contract.ts';

type Verdict = NonNullable<Evaluation['verdict']>;

export const verdictTitles: Readonly<Record<Verdict['code'], string>> = {
  'worth-it': 'Worth it',
  'not-worth-it': 'Not worth it',
  'speed-only': 'Worth it for speed only',
  'cannot-tell': 'Cannot tell',
};

export function verdictWords({ code, sentence }: Verdict): { readonly claim: string; readonly details: string } {
  const title = `${verdictTitles[code]}: `;
  const told = sentence.startsWith(title) ? sentence.slice(title.length) : sentence;
  const [, before, basis, after = ''] = /^(.+?) \(([^()]*; 95 % interval [^()]*)\)(.*)$/su.exec(told) ?? [];
  if (before === undefined || basis === undefined) return { claim: begun(told), details: '' };
  const rest = after.replace(/^[.,]?\s*(and (it )?)?|\.$/g, '');
  const details = rest === '' ? basis : `${basis}; ${rest}`;
  return { claim: begun(before), details: details.replace(/(^| )-(?=\d)/g, '$1−') };
}

/** Begins a sentence with a capital letter, unless it begins with a name. */
function begun(sentence: string): string {
  return sentence.replace(/^(the|no) /, (word) => word[0]!.toUpperCase() + word.slice(1));
}
