/** Scores with the evaluator `regex` whether an answer matches a regular expression. */
import { longestMs, within } from './bounded.ts';
import { answerKind, passed, unscored } from './evaluator.ts';
import { Problem } from '../problem.ts';

export const regex = answerKind({
  name: 'regex',
  summary: 'the answer matches a regular expression of JavaScript',
  options: {
    pattern: { kind: 'text', help: 'is the expression, as JavaScript writes it; ^ and $ hold it to the whole answer' },
    flags: { kind: 'text', otherwise: 'u', help: 'are the flags of JavaScript: i for any case, s, m, u, v' },
    absent: { kind: 'flag', otherwise: false, help: 'wants no match' },
    passes: { kind: 'text', otherwise: '', help: "says of an answer that passes what that means, in place of 'matches'" },
    fails: {
      kind: 'text',
      otherwise: '',
      help: "says of one that does not pass what that means, in place of 'does not match'",
    },
  },
  open({ pattern, flags, absent, passes, fails }) {
    const compiled = expressionOf(pattern, flags);
    return {
      score(_, answer) {
        const found = within(() => compiled.test(answer));
        if (found === null) return unscored(`the pattern takes longer than ${longestMs} ms`);
        const isGood = found.value !== absent;
        const words = isGood ? passes : fails;
        return passed('regex', isGood, words !== '' ? words : found.value ? 'matches' : 'does not match');
      },
    };
  },
});

function expressionOf(pattern: string, flags: string): RegExp {
  const hint = 'Write it as JavaScript does, with the flags i, m, s, u or v.';
  if (!/^[imsuv]*$/.test(flags)) throw new Problem('request-invalid', `The flags '${flags}' are not those of a test.`, hint);
  try {
    return new RegExp(pattern, flags);
  } catch (error) {
    throw new Problem('request-invalid', `The regular expression is not valid: ${(error as Error).message}.`, hint);
  }
}
