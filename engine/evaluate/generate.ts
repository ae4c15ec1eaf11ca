/** Writes an answer token by token: greedy or sampled, until a stop token, the limit or a stop. */
import type { GenerateResult, GenerateSettings } from '../contract.ts';
import { TextStream, type Tokenizer } from '../data/tokenizer.ts';
import { Problem } from '../problem.ts';
import { streamOf, threefry } from '../training/random.ts';

/** What gives the logits `[vocabulary]` after the tokens fed so far. */
export interface LogitSource {
  reset(): void;
  feed(tokens: readonly number[]): Promise<Float32Array>;
}

export interface GenerateInput {
  readonly promptTokens: readonly number[];
  readonly settings: GenerateSettings;
  readonly contextLength: number;
  /** Null for a model without one: the result then has no text and nothing but the limit ends it. */
  readonly tokenizer: Tokenizer | null;
  readonly onToken?: (token: number, textDelta: string) => void;
  readonly shouldStop?: () => boolean;
}

/** The stop token is among `tokens`; special tokens are not in `text`. */
export async function generate(source: LogitSource, input: GenerateInput): Promise<GenerateResult> {
  const { promptTokens, settings, contextLength, tokenizer } = input;
  if (promptTokens.length === 0)
    throw new Problem('request-invalid', 'The prompt has no tokens.', 'Write something to answer to.');
  if (promptTokens.length >= contextLength)
    throw new Problem(
      'row-too-long',
      `The prompt has ${promptTokens.length} tokens, the model reads ${contextLength}.`,
      'Use a shorter prompt.',
    );
  const stops = new Set(settings.ignoreStop ? [] : tokenizer?.stopTokens);
  const limit = Math.min(settings.maxTokens, contextLength - promptTokens.length);
  const stream = tokenizer && new TextStream(tokenizer);
  const tokens: number[] = [];
  let text = '';
  source.reset();
  let next = promptTokens;
  while (tokens.length < limit && input.shouldStop?.() !== true) {
    const logits = await source.feed(next);
    const token = chooseToken(logits, settings, tokens.length);
    tokens.push(token);
    const delta = (await stream?.push(token)) ?? '';
    text += delta;
    input.onToken?.(token, delta);
    if (stops.has(token)) break;
    next = [token];
    // A run of the graph blocks this process: let messages (a stop) arrive between tokens.
    await new Promise<void>((resolve) => setImmediate(resolve));
  }
  const rest = (await stream?.flush()) ?? '';
  if (rest !== '') input.onToken?.(tokens.at(-1)!, rest);
  return { tokens, text: text + rest, promptTokens };
}

/** The token at position `step` of the answer; equal seeds and logits choose equal tokens, whatever was drawn before. */
export function chooseToken(
  logits: Float32Array,
  settings: Pick<GenerateSettings, 'temperature' | 'topK' | 'topP' | 'seed'>,
  step: number,
): number {
  const best = largest(logits);
  if (settings.temperature === 0) return best;
  const candidates = Array.from(logits.keys());
  const narrowed = settings.topK > 0 || settings.topP < 1;
  if (narrowed) candidates.sort((a, b) => logits[b]! - logits[a]! || a - b);
  if (settings.topK > 0) candidates.length = Math.min(candidates.length, settings.topK);
  const weights = candidates.map((id) => Math.exp((logits[id]! - logits[best]!) / settings.temperature));
  let total = weights.reduce((a, b) => a + b, 0);
  if (settings.topP < 1) {
    // The smallest set of best tokens that reaches topP; the one that crosses it belongs to it.
    let sum = 0;
    let kept = 0;
    while (kept < weights.length && sum < settings.topP * total) sum += weights[kept++]!;
    candidates.length = Math.max(1, kept);
    total = kept === 0 ? weights[0]! : sum;
  }
  const [word] = threefry([settings.seed, streamOf('sampling')], [step, 0]);
  let left = (word / 2 ** 32) * total;
  for (const [i, id] of candidates.entries()) {
    left -= weights[i]!;
    if (left < 0) return id;
  }
  return candidates.at(-1)!;
}

function largest(logits: Float32Array): number {
  let best = 0;
  for (let id = 0; id < logits.length; id++) {
    if (Number.isNaN(logits[id]!)) {
      throw new Problem(
        'loss-not-finite',
        'The model computes values that are no numbers.',
        'The adapter may come from a run that diverged: use an earlier checkpoint.',
      );
    }
    if (logits[id]! > logits[best]!) best = id;
  }
  return best;
}
