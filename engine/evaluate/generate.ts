/** Writes an answer token by token: greedy or sampled, until a stop token, a stop text, the limit or a stop. */
import type { GenerateResult, GenerateSettings } from '../contract.ts';
import { TextStream, type Tokenizer } from '../data/tokenizer.ts';
import { Problem } from '../problem.ts';
import { streamOf, threefry } from '../random.ts';
import type { Constraint } from './constrained/constraint.ts';
import { StopTexts } from './stop-texts.ts';

/** Computes the logits `[vocabulary]` after the tokens fed so far. */
export interface LogitSource {
  reset(): void;
  feed(tokens: readonly number[]): Promise<Float32Array>;
}

export interface GenerateInput {
  readonly promptTokens: readonly number[];
  readonly settings: GenerateSettings;
  readonly contextLength: number;
  /**
   * Holds the tokenizer, or null for a model without one. The text of the result is then empty, and only the limit ends the
   * answer.
   */
  readonly tokenizer: Tokenizer | null;
  /** Holds the answer to a schema. It then ends where the document does, whether or not stop tokens are ignored. */
  readonly constraint?: Constraint;
  readonly onToken?: (token: number, textDelta: string) => void;
  readonly shouldStop?: () => boolean;
}

/**
 * Generates an answer to the prompt. The stop token is among `tokens`; special tokens are not in `text`. A prompt that is
 * empty, or fills the context, is refused with a `Problem`. A constrained answer that nothing may follow ends without a stop
 * token.
 */
export async function generate(source: LogitSource, input: GenerateInput): Promise<Omit<GenerateResult, 'notes'>> {
  const { promptTokens, settings, contextLength, tokenizer } = input;
  if (promptTokens.length === 0)
    throw new Problem('request-invalid', 'The prompt has no tokens.', 'Enter some text for the model to answer.');
  if (promptTokens.length >= contextLength)
    throw new Problem(
      'row-too-long',
      `The prompt has ${promptTokens.length} tokens, but the model reads at most ${contextLength}.`,
      'Use a shorter prompt.',
    );
  const stops = new Set(settings.ignoreStop ? [] : tokenizer?.stopTokens);
  const limit = Math.min(settings.maxTokens, contextLength - promptTokens.length);
  const stream = tokenizer && new TextStream(tokenizer);
  const constrained = input.constraint?.begin();
  const stopTexts = new StopTexts(settings.stop ?? []);
  const tokens: number[] = [];
  let text = '';
  let ended: GenerateResult['ended'] = 'length';
  source.reset();
  let next = promptTokens;
  while (tokens.length < limit) {
    if (input.shouldStop?.() === true) {
      ended = 'cancelled';
      break;
    }
    const logits = await source.feed(next);
    const choices = constrained?.allowed(logits, limit - tokens.length) ?? logits;
    const token = chooseToken(choices, settings, tokens.length);
    tokens.push(token);
    constrained?.accept(token);
    const delta = stopTexts.push((await stream?.push(token)) ?? '');
    text += delta;
    input.onToken?.(token, delta);
    if (stops.has(token) || stopTexts.isMet || constrained?.isFinal) {
      ended = 'stop';
      break;
    }
    next = [token];
    // A run of the graph blocks this process, so messages such as a stop are let in between tokens.
    await new Promise<void>((resolve) => setImmediate(resolve));
  }
  const rest = stopTexts.push((await stream?.flush()) ?? '') + stopTexts.flush();
  if (rest !== '') input.onToken?.(tokens.at(-1)!, rest);
  const answer = { tokens, text: text + rest, promptTokens, ended: stopTexts.isMet ? 'stop' : ended };
  return constrained === undefined ? answer : { ...answer, constrained: constrained.isComplete ? 'complete' : 'cut' };
}

/**
 * Chooses the token at position `step` of the answer. Equal seeds and logits choose equal tokens, whatever was drawn before.
 */
export function chooseToken(
  logits: Float32Array,
  { temperature, topK, topP, seed }: Pick<GenerateSettings, 'temperature' | 'topK' | 'topP' | 'seed'>,
  step: number,
): number {
  const best = largest(logits);
  if (temperature === 0) return best;
  const weigh = (ids: Uint32Array): Float64Array => {
    const weights = new Float64Array(ids.length);
    for (let i = 0; i < ids.length; i++) weights[i] = Math.exp((logits[ids[i]!]! - logits[best]!) / temperature);
    return weights;
  };
  let ids =
    topK > 0 ? likeliest(logits, best, null, topK).subarray(0, topK) : new Uint32Array(logits.length).map((_, id) => id);
  let weights = weigh(ids);
  let total = weights.reduce((a, b) => a + b, 0);
  let kept = ids.length;
  if (topP < 1) {
    const share = topP * total;
    if (topK === 0) {
      ids = likeliest(logits, best, weights, share);
      weights = weigh(ids);
    }
    // This is the smallest set of best tokens that reaches topP, including the token that crosses it.
    kept = 1;
    total = weights[0]!;
    while (kept < ids.length && total < share) total += weights[kept++]!;
  }
  const [word] = threefry([seed, streamOf('sampling')], [step, 0]);
  let left = (word / 2 ** 32) * total;
  // Rounding may leave a rest. It goes to the last token that has a weight: one that is not allowed has none.
  let chosen = best;
  for (let i = 0; i < kept; i++) {
    if (weights[i]! > 0) chosen = ids[i]!;
    left -= weights[i]!;
    if (left < 0) break;
  }
  return chosen;
}

/**
 * Counts the bands into which logits are sorted by their distance from the best one. The last band holds all that are further
 * away.
 */
const BANDS = 1024;
const BANDS_PER_UNIT = 32;

/**
 * Returns ids of the best tokens, best first and equal ones by id. Their weights sum to at least `enough`; without weights each
 * token counts as 1. Whole bands are taken, so that few ids have to be sorted.
 */
function likeliest(logits: Float32Array, best: number, weights: Float64Array | null, enough: number): Uint32Array {
  const bandOf = (id: number): number => Math.min(BANDS - 1, (logits[best]! - logits[id]!) * BANDS_PER_UNIT) | 0;
  const counts = new Uint32Array(BANDS);
  const sums = new Float64Array(BANDS);
  for (let id = 0; id < logits.length; id++) {
    const band = bandOf(id);
    counts[band]!++;
    sums[band]! += weights === null ? 1 : weights[id]!;
  }
  let [bands, count, sum] = [1, counts[0]!, sums[0]!];
  while (bands < BANDS && !(sum >= enough)) {
    sum += sums[bands]!;
    count += counts[bands++]!;
  }
  const ids = new Uint32Array(count);
  for (let id = 0, at = 0; at < count; id++) if (bandOf(id) < bands) ids[at++] = id;
  return ids.sort((a, b) => logits[b]! - logits[a]! || a - b);
}

function largest(logits: Float32Array): number {
  let best = 0;
  for (let id = 0; id < logits.length; id++) {
    if (Number.isNaN(logits[id]!)) {
      throw new Problem(
        'loss-not-finite',
        'The model computed values that are not numbers (NaN).',
        'The adapter may come from a run that diverged. Use an earlier checkpoint.',
      );
    }
    if (logits[id]! > logits[best]!) best = id;
  }
  return best;
}
