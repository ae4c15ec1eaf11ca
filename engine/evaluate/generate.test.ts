import { describe, expect, it } from 'vitest';
import { readGguf } from '../formats/gguf.ts';
import { openTokenizer } from '../data/tokenizer.ts';
import { streamOf, threefry } from '../random.ts';
import { chooseToken, generate, type LogitSource } from './generate.ts';

const tokenizer = openTokenizer({
  kind: 'gguf',
  metadata: readGguf('resources/models/SmolLM2-135M-Instruct.Q4_1.gguf').metadata,
});
type Narrowing = Record<'temperature' | 'topK' | 'topP', number>;
const greedy = { maxTokens: 100, temperature: 0, topP: 1, topK: 0, seed: 1, ignoreStop: false };

/** Says the given tokens one after the other, whatever it is fed, and remembers what it was fed. */
class Script implements LogitSource {
  readonly fed: number[][] = [];
  readonly #tokens: readonly number[];
  #at = 0;
  constructor(tokens: readonly number[]) {
    this.#tokens = tokens;
  }
  reset(): void {
    this.#at = 0;
  }
  feed(tokens: readonly number[]): Promise<Float32Array> {
    this.fed.push([...tokens]);
    const logits = new Float32Array(49152);
    logits[this.#tokens[this.#at++] ?? 0] = 5;
    return Promise.resolve(logits);
  }
}

describe('generation', () => {
  it('feeds the prompt once and then each token, ends at the stop token, and streams the whole text', async () => {
    const answer = await tokenizer.encode('{"city": "Łódź 😀"}');
    const script = new Script([...answer, 2, 50]);
    let streamed = '';
    const result = await generate(script, {
      promptTokens: [1, 4093],
      settings: greedy,
      contextLength: 8192,
      tokenizer,
      onToken: (_, delta) => (streamed += delta),
    });
    expect(result.tokens).toEqual([...answer, 2]);
    expect(result.text).toBe('{"city": "Łódź 😀"}');
    expect(streamed).toBe(result.text);
    expect(script.fed).toEqual([[1, 4093], ...answer.map((token) => [token])]);
  });

  it('ends before a text that stops it, and says how it ended', async () => {
    const answer = await tokenizer.encode('One, two, three.');
    const input = { promptTokens: [1], settings: greedy, contextLength: 8192, tokenizer };
    const asked = (more: object) => generate(new Script([...answer, 2]), { ...input, settings: { ...greedy, ...more } });
    let streamed = '';
    const onToken = (_: number, delta: string) => (streamed += delta);
    const settings = { ...greedy, stop: [', th', 'four'] };
    const stopped = await generate(new Script([...answer, 2]), { ...input, settings, onToken });
    expect([stopped.text, streamed, stopped.ended]).toEqual(['One, two', 'One, two', 'stop']);
    // All that was computed counts, also the beginning of the stop text.
    expect(await tokenizer.decode(stopped.tokens, { skipSpecial: false })).toMatch(/^One, two, th/);
    expect(await asked({ stop: ['five'] })).toMatchObject({ text: 'One, two, three.', ended: 'stop' });
    expect(await asked({ maxTokens: 2, stop: ['five'] })).toMatchObject({ ended: 'length' });
    const isAsked = await generate(new Script([...answer, 2]), { ...input, shouldStop: () => true });
    expect(isAsked).toMatchObject({ text: '', ended: 'cancelled' });
  });

  it('ends at the limit, at the end of the context and when asked to stop', async () => {
    const endless = () => new Script(Array.from({ length: 200 }, () => 50));
    const input = { promptTokens: [1], settings: greedy, contextLength: 8192, tokenizer };
    expect((await generate(endless(), input)).tokens).toHaveLength(100);
    expect((await generate(endless(), { ...input, contextLength: 5 })).tokens).toHaveLength(4);
    let seen = 0;
    const stopped = await generate(endless(), { ...input, onToken: () => seen++, shouldStop: () => seen === 3 });
    expect(stopped.tokens).toHaveLength(3);
    const ignoring = { ...greedy, maxTokens: 3, ignoreStop: true };
    expect((await generate(new Script([2, 2, 2]), { ...input, settings: ignoring })).tokens).toEqual([2, 2, 2]);
  });

  it('chooses only what a constraint allows, and says whether the answer became whole', async () => {
    /** Allows token 50 as often as is said, and nothing after it. */
    const times = (most: number) => ({
      enough: most,
      begin() {
        let accepted = 0;
        return {
          get isComplete() {
            return accepted === most;
          },
          get isFinal() {
            return accepted === most;
          },
          allowed: (logits: Float32Array) => logits.map((logit, id) => (id === 50 ? logit : -Infinity)),
          accept: () => void accepted++,
        };
      },
    });
    const input = { promptTokens: [1], contextLength: 8192, tokenizer };
    for (const settings of [greedy, { ...greedy, temperature: 1 }, { ...greedy, temperature: 1, topK: 5, topP: 0.5 }]) {
      const whole = await generate(new Script([7, 8, 9]), { ...input, settings, constraint: times(3) });
      expect(whole).toMatchObject({ tokens: [50, 50, 50], constrained: 'complete' });
      const cut = await generate(new Script([]), { ...input, settings: { ...settings, maxTokens: 2 }, constraint: times(3) });
      expect(cut).toMatchObject({ tokens: [50, 50], constrained: 'cut' });
    }
    expect(await generate(new Script([2]), { ...input, settings: greedy })).not.toHaveProperty('constrained');
  });

  it('samples by the probabilities that temperature, top-k and top-p leave', () => {
    const logits = Float32Array.from([0, 0.7, 0.8, 0.1].map((p) => Math.log(p)));
    const counts = (settings: { temperature: number; topK: number; topP: number }) => {
      const seen = [0, 0, 0, 0];
      for (let step = 0; step < 4000; step++) seen[chooseToken(logits, { ...settings, seed: 7 }, step)]!++;
      return seen.map((count) => count / 4000);
    };
    const close = (got: number[], wanted: number[]) => wanted.forEach((p, i) => expect(got[i]).toBeCloseTo(p, 1));
    close(counts({ temperature: 1, topK: 0, topP: 1 }), [0, 0.4375, 0.5, 0.0625]);
    close(counts({ temperature: 1, topK: 2, topP: 1 }), [0, 0.467, 0.533, 0]);
    expect(counts({ temperature: 1, topK: 0, topP: 0.4 })).toEqual([0, 0, 1, 0]);
    expect(counts({ temperature: 0.01, topK: 0, topP: 1 })[2]).toBeGreaterThan(0.99);
    const settings = { temperature: 1, topK: 0, topP: 1, seed: 3 };
    expect(chooseToken(logits, settings, 5)).toBe(chooseToken(logits, settings, 5));
  });

  it('chooses what sorting every token would choose, equal ones by id', () => {
    /** Best first, the first topK of them, of these as many as reach topP: `draw` of their weight is passed from the start. */
    const plainly = (logits: Float32Array, { temperature, topK, topP }: Narrowing, draw: number): number => {
      const narrowed = topK > 0 || topP < 1;
      const ids = [...logits.keys()];
      if (narrowed) ids.sort((a, b) => logits[b]! - logits[a]! || a - b);
      if (topK > 0) ids.length = Math.min(ids.length, topK);
      const top = logits.reduce((a, b) => Math.max(a, b));
      const weights = ids.map((id) => Math.exp((logits[id]! - top) / temperature));
      const total = weights.reduce((a, b) => a + b);
      let kept = topP < 1 ? 0 : ids.length;
      for (let sum = 0; kept === 0 || (kept < ids.length && sum < topP * total);) sum += weights[kept++]!;
      let left = draw * weights.slice(0, kept).reduce((a, b) => a + b);
      return ids.find((_, i) => i === kept - 1 || (left -= weights[i]!) < 0)!;
    };
    const random = (step: number, lane: number): number => threefry([5, 5], [step, lane])[0] / 2 ** 32;
    const settings = [0, 1, 3, 40, 10_000].flatMap((topK) =>
      [0, 1e-9, 0.3, 0.95, 1].flatMap((topP) => [0.05, 0.8, 3].map((temperature) => ({ topK, topP, temperature }))),
    );
    // Spread out, nearly equal, and in steps: many are equal.
    for (const [spread, steps] of [
      [30, 1e6],
      [0.01, 1e6],
      [60, 16],
    ] as const) {
      const logits = Float32Array.from({ length: 300 }, (_, i) => (Math.round(random(i, 0) * steps) / steps - 0.5) * spread);
      logits[77] = -Infinity;
      for (const [i, narrowing] of settings.entries())
        for (let step = 5 * i; step < 5 * i + 5; step++) {
          const draw = threefry([9, streamOf('sampling')], [step, 0])[0] / 2 ** 32;
          expect(chooseToken(logits, { ...narrowing, seed: 9 }, step)).toBe(plainly(logits, narrowing, draw));
        }
    }
  });

  it('refuses values that are no numbers', () => {
    expect(() => chooseToken(Float32Array.from([1, NaN]), { temperature: 0, topK: 0, topP: 1, seed: 0 }, 0)).toThrow(
      /not numbers/,
    );
  });
});
