/** Scores with the evaluator `language` whether an answer is in the language of its question. */
import type { eld as Detector } from 'eld/small';
import { type EvaluatorKind, passed, unscored } from './evaluator.ts';
import { readOptions } from './options.ts';
import { Problem } from '../problem.ts';

const options = {
  wanted: {
    kind: 'text',
    otherwise: '',
    help: 'is the code of a language (ISO 639-1) for all answers, instead of that of the question',
  },
} as const;

export const language: EvaluatorKind = {
  ...{ name: 'language', needs: 'answers', options, learns: false },
  summary: 'the answer is in the language of the question; short texts are not counted',
  async open(given) {
    const { wanted } = readOptions('language', options, given);
    // Its table takes a third of a second to load.
    const { eld } = await import('eld/small');
    const known = Object.values(eld.info().Languages);
    if (wanted !== '' && !known.includes(wanted))
      throw new Problem('request-invalid', `The language '${wanted}' is not known.`, `Use one of ${known.join(', ')}.`);
    return {
      ...{ name: 'language', needs: 'answers' },
      score({ question }, answer) {
        const asked = wanted === '' ? languagesOf(question, eld) : [wanted];
        if (asked.length !== 1) return unscored('cannot tell the language of the question');
        const given = languagesOf(answer, eld);
        // Where two languages are as likely and one of them is right, nothing is known to be wrong.
        if (given.length === 0 || (given.length > 1 && given.includes(asked[0]!))) return unscored('cannot tell the language');
        return passed(
          'language',
          given[0] === asked[0],
          given[0] === asked[0] ? given[0]! : `${given[0]!} instead of ${asked[0]!}`,
        );
      },
    };
  },
};

/** Says how many letters tell a language. A sign of Chinese, Japanese or Korean tells as much as several letters. */
const leastLetters = 16;
const lettersOfSign = 4;
/** Says how near another language may come, in eld's score, before it is as likely. */
const margin = 0.02;

/** Lists the languages that a text may be in: one where it can be told, several where they are as likely, none otherwise. */
function languagesOf(text: string, detector: typeof Detector): string[] {
  // Code and addresses are in no language.
  const prose = text.replace(/`{3}[\s\S]*?(?:`{3}|$)|`[^`]*`|https?:\/\/\S+|\S+@\S+/g, ' ').slice(0, 1000);
  const signs = prose.match(/[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Hangul}]/gu)?.length ?? 0;
  const letters = prose.match(/\p{L}/gu)?.length ?? 0;
  if (letters - signs + lettersOfSign * signs < leastLetters) return [];
  const found = detector.detect(prose);
  if (!found.isReliable()) return [];
  const scores = Object.entries(found.getScores());
  const best = Math.max(...scores.map(([, score]) => score));
  return [
    found.language,
    ...scores.filter(([code, score]) => code !== found.language && score > best - margin).map(([code]) => code),
  ];
}
