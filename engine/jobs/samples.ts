/** Answers a few fixed evaluation prompts, so that a run shows what the model says and not only its loss. */
import type { Adapter } from '../adapters/adapter.ts';
import type { TokenRow } from '../data/row.ts';
import type { Tokenizer } from '../data/tokenizer.ts';
import { GenerationSession } from '../decoder/generation.ts';
import { answerGreedily, answerLimit } from '../evaluate/answers.ts';
import { judge } from '../evaluate/judge.ts';
import { questionOf } from '../evaluate/questions.ts';
import type { OpenModel } from '../models/open.ts';
import { contextOf } from '../models/positions.ts';
import { openSession } from '../runtime/session.ts';
import type { JobPort } from './port.ts';
import type { RunWriter } from './run-writer.ts';

/** Limits the evaluation rows whose prompts are answered. */
export const maxPrompts = 3;

/**
 * Answers each prompt greedily, and adds the answer with its verdict to the run's folder. Rows that have no prompt before their
 * trained tokens are left out.
 */
export async function addSamples(
  step: number,
  model: OpenModel,
  tokenizer: Tokenizer,
  rows: readonly TokenRow[],
  adapter: Adapter | null,
  { threads, cacheDir }: { readonly threads: number; readonly cacheDir: string },
  { folder, port }: { readonly folder: RunWriter; readonly port: JobPort },
): Promise<void> {
  const contextLength = contextOf(model.spec);
  const found = await Promise.all(rows.map((row) => questionOf(row, tokenizer)));
  const questions = found.flatMap((question, index) => {
    if (question === null) return [];
    const { length } = question.prompt;
    if (length < contextLength) return [question];
    const text = `The prompt of evaluation row ${index + 1} has ${length} tokens, but the model reads at most ${contextLength}, so it was not answered.`;
    if (step === 0) folder.log(text);
    return [];
  });
  if (questions.length === 0) return;
  const session = await GenerationSession.open(model, { threads, cacheDir, openSession });
  try {
    if (adapter !== null) await session.useAdapters([{ adapter, weight: 1 }]);
    for (const [prompt, asked] of questions.entries()) {
      if (port.stopRequested) return;
      const maxTokens = answerLimit(asked);
      const shouldStop = () => port.stopRequested;
      const { text } = await answerGreedily(session, asked, { contextLength, tokenizer, maxTokens, shouldStop });
      const { question: promptText, expected } = asked;
      folder.sample({ step, prompt, promptText, expected, text, verdict: judge(asked, text) });
    }
  } finally {
    await session.release();
  }
}
