/** Answers to a few fixed evaluation prompts, so that a run shows what the model says and not only its loss. */
import type { Adapter } from '../adapters/adapter.ts';
import type { GenerateSettings, Sample } from '../contract.ts';
import type { TokenRow } from '../data/rows.ts';
import type { Tokenizer } from '../data/tokenizer.ts';
import { GenerationSession } from '../decoder/generation.ts';
import { generate } from '../evaluate/generate.ts';
import type { OpenModel } from '../models/open.ts';
import { contextOf } from '../models/positions.ts';
import { openSession } from '../runtime/session.ts';
import type { JobPort } from './port.ts';
import type { RunFolder } from './run-folder.ts';

/** A prompt cut out of an evaluation row, and what the row answers. */
interface Prompt {
  readonly tokens: readonly number[];
  readonly answer: readonly number[];
  readonly text: string;
}

/** Evaluation rows whose prompts are answered. */
export const maxPrompts = 3;
const maxAnswerTokens = 128;

/** Adds one greedy answer per prompt to the run's folder as it is given; none for rows that have no prompt before what is trained. */
export async function addSamples(
  step: number,
  model: OpenModel,
  tokenizer: Tokenizer,
  rows: readonly TokenRow[],
  adapter: Adapter | null,
  { threads, cacheDir }: { readonly threads: number; readonly cacheDir: string },
  { folder, port }: { readonly folder: RunFolder; readonly port: JobPort },
): Promise<void> {
  const contextLength = contextOf(model.spec);
  const found = await Promise.all(rows.map((row) => promptOf(row, tokenizer)));
  const prompts = found.flatMap((prompt, index) => {
    if (prompt === null) return [];
    if (prompt.tokens.length < contextLength) return [prompt];
    const text = `The prompt of evaluation row ${index + 1} has ${prompt.tokens.length} tokens, the model reads ${contextLength}: it is not answered.`;
    if (step === 0) folder.log(text);
    return [];
  });
  if (prompts.length === 0) return;
  const session = await GenerationSession.open(model, { threads, cacheDir, openSession });
  try {
    if (adapter !== null) await session.useAdapters([{ adapter, weight: 1 }]);
    for (const [index, prompt] of prompts.entries()) {
      if (port.stopRequested) return;
      const sample = await answer(session, prompt, contextLength, tokenizer, () => port.stopRequested);
      folder.sample({ step, prompt: index, ...sample });
    }
  } finally {
    await session.release();
  }
}

async function answer(
  session: GenerationSession,
  prompt: Prompt,
  contextLength: number,
  tokenizer: Tokenizer,
  shouldStop: () => boolean,
): Promise<Pick<Sample, 'promptText' | 'expected' | 'text'>> {
  const settings: GenerateSettings = {
    // Room for an answer that is somewhat longer than it should be, not for one that never ends.
    maxTokens: Math.min(maxAnswerTokens, 2 * prompt.answer.length + 8),
    temperature: 0,
    topP: 1,
    topK: 0,
    seed: 0,
    ignoreStop: false,
  };
  const { text } = await generate(session, { promptTokens: prompt.tokens, settings, contextLength, tokenizer, shouldStop });
  const expected = await tokenizer.decode(prompt.answer, { skipSpecial: true });
  return { promptText: prompt.text, expected, text };
}

/** The last answer of a row is its last stretch of trained tokens; the prompt is all that comes before. */
async function promptOf({ inputIds, labels, messages }: TokenRow, tokenizer: Tokenizer): Promise<Prompt | null> {
  const end = labels.findLastIndex((label) => label !== -100) + 1;
  const start = labels.subarray(0, end).lastIndexOf(-100) + 1;
  if (start < 2) return null;
  const tokens = [...inputIds.subarray(0, start)];
  const asked = messages?.findLast(({ role }) => role === 'user')?.content;
  return {
    tokens,
    answer: [...inputIds.subarray(start, end)],
    text: asked ?? (await tokenizer.decode(tokens, { skipSpecial: true })),
  };
}
