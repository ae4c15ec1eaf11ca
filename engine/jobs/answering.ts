/** Answers questions with the model and adapters of one contestant after another, in one session where that is possible. */
import type { WeightedAdapter } from '../adapters/delta.ts';
import type { ChatMessage, EndpointRef } from '../contract.ts';
import type { Tokenizer } from '../data/tokenizer.ts';
import { GenerationSession, type KeptRow } from '../decoder/generation.ts';
import { answerGreedily } from '../evaluate/answers.ts';
import type { LogitSource } from '../evaluate/generate.ts';
import { documentSchema } from '../evaluate/schema-prompt.ts';
import type { Constraint } from '../evaluate/constrained/constraint.ts';
import { openConstraint } from '../evaluate/constrained/open.ts';
import type { OpenModel } from '../models/open.ts';
import { contextOf } from '../models/positions.ts';
import { Problem } from '../problem.ts';
import { cpuThreads } from '../runtime/devices.ts';
import { openSession } from '../runtime/session.ts';
import { askEndpoint } from '../runtime/endpoint.ts';
import type { AskedRow } from './compared-rows.ts';
import type { OpenContestant } from './contestants.ts';
import type { KeptAnswers } from './kept-answers.ts';
import type { JobPort } from './port.ts';

/** Holds an answer as it is kept. */
export interface Answer {
  readonly text: string;
  readonly tokens: number;
  /** Gives the tokens of the prompt as an endpoint counts them. It is left out where the prompt was ours. */
  readonly promptTokens?: number;
  /** Gives the seconds that it took. */
  readonly seconds: number;
}

/** Gives the tokens that prompts must share at least before their state is worth keeping. */
const leastShared = 8;

/** Returns the number of tokens that all prompts begin with. At least one token of each is left to be fed. */
export function sharedPrefix(prompts: readonly (readonly number[])[]): number {
  const [first, ...others] = prompts;
  if (first === undefined || others.length === 0) return 0;
  let shared = Math.min(...prompts.map(({ length }) => length)) - 1;
  for (const prompt of others) {
    let same = 0;
    while (same < shared && prompt[same] === first[same]) same++;
    shared = same;
  }
  return shared < leastShared ? 0 : shared;
}

export class Answering {
  readonly #cacheDir: string;
  readonly #kept: KeptAnswers;
  readonly #port: JobPort;
  #session: GenerationSession | null = null;
  #model: OpenModel | null = null;
  #adapters: readonly WeightedAdapter[] = [];
  #prefix: { readonly tokens: readonly number[]; readonly row: KeptRow } | null = null;

  readonly #schema: unknown;
  readonly #constraints = new Map<Tokenizer, Constraint>();

  /** Makes what answers. `schema` is that of contestants that are held to one. */
  constructor(cacheDir: string, { kept, port, schema }: { kept: KeptAnswers; port: JobPort; schema: unknown }) {
    this.#schema = schema;
    this.#cacheDir = cacheDir;
    this.#kept = kept;
    this.#port = port;
  }

  /**
   * Answers a question greedily, or returns the answer that is kept of it. The first `shared` tokens of the prompt are fed by
   * themselves, and their state is used for the next question that begins with them. Throws a `Problem` when it is stopped.
   */
  answer(contestant: OpenContestant, row: AskedRow, maxTokens: number, shared: number): Promise<Answer> {
    const { at, identity, model, tokenizer } = contestant;
    const { question, messages } = row;
    if (at.endpoint !== undefined) return this.#ask(at.endpoint, messages ?? [], maxTokens, question.prompt.length);
    const held = at.constrained === true ? this.#schema : null;
    return this.#kept.get(['answer', ...identity, held, maxTokens, question.prompt], async () => {
      const session = await this.#sessionFor(contestant);
      const begun = performance.now();
      const { text, tokens } = await answerGreedily(this.#startingWith(session, question.prompt.slice(0, shared)), question, {
        ...{ contextLength: contextOf(model.spec), tokenizer: tokenizer!, maxTokens },
        ...(held === null ? {} : { constraint: this.#constraintFor(tokenizer!) }),
        shouldStop: () => this.#port.stopRequested,
      });
      // Half an answer is none, and must not be kept.
      if (this.#port.stopRequested) throw stoppedComparison();
      return { text, tokens: tokens.length, seconds: (performance.now() - begun) / 1000 };
    });
  }

  /** Returns the log-likelihood of each option as the answer to a question, with the token that ends the answer of the row. */
  likelihoods(
    contestant: OpenContestant,
    { question }: AskedRow,
    options: readonly string[],
    shared: number,
  ): Promise<number[]> {
    const { identity, tokenizer } = contestant;
    return this.#kept.get(['likelihoods', ...identity, options, question.prompt], async () => {
      const session = await this.#sessionFor(contestant);
      const source = this.#startingWith(session, question.prompt.slice(0, shared));
      const last = question.answer.at(-1);
      const end = last !== undefined && tokenizer!.stopTokens.includes(last) ? [last] : [];
      source.reset();
      const first = await source.feed(question.prompt);
      const asked = session.keep();
      const likelihoods: number[] = [];
      for (const option of options) {
        let [sum, logits] = [0, first];
        session.restore(asked);
        const tokens = [...(await tokenizer!.encode(option)), ...end];
        for (const [i, token] of tokens.entries()) {
          sum += logProbability(logits, token);
          if (i < tokens.length - 1) logits = await session.feed([token]);
        }
        likelihoods.push(sum);
        await new Promise<void>((resolve) => setImmediate(resolve));
        if (this.#port.stopRequested) throw stoppedComparison();
      }
      return likelihoods;
    });
  }

  /** Asks an endpoint, whose tokens are counted as ours where it does not count them itself. */
  #ask(endpoint: EndpointRef, messages: readonly ChatMessage[], maxTokens: number, ourTokens: number): Promise<Answer> {
    return this.#kept.get(['endpoint', endpoint.url, endpoint.model, maxTokens, messages], async () => {
      const stopped = new AbortController();
      void this.#port.untilStopped().then(() => stopped.abort());
      const begun = performance.now();
      const answer = await askEndpoint(endpoint, messages, maxTokens, stopped.signal).catch((error: unknown) => {
        throw this.#port.stopRequested ? stoppedComparison() : error;
      });
      const { text, tokens, promptTokens } = answer;
      const seconds = (performance.now() - begun) / 1000;
      return { text, tokens: tokens ?? 0, promptTokens: promptTokens ?? ourTokens, seconds };
    });
  }

  /** Opens the constraint of the schema once for each tokenizer. */
  #constraintFor(tokenizer: Tokenizer): Constraint {
    const known = this.#constraints.get(tokenizer);
    if (known !== undefined) return known;
    const constraint = openConstraint(documentSchema(this.#schema), tokenizer);
    this.#constraints.set(tokenizer, constraint);
    return constraint;
  }

  async #sessionFor({ model, adapters }: OpenContestant): Promise<GenerationSession> {
    if (this.#session === null || this.#model !== model) {
      await this.release();
      this.#session = await GenerationSession.open(model, { threads: cpuThreads(), cacheDir: this.#cacheDir, openSession });
      this.#model = model;
    }
    if (adapters !== this.#adapters) {
      await this.#session.useAdapters(adapters);
      this.#adapters = adapters;
      this.#prefix = null;
    }
    return this.#session;
  }

  /** Returns a source that takes the state of `prefix` as it is kept, instead of feeding its tokens again. */
  #startingWith(session: GenerationSession, prefix: readonly number[]): LogitSource {
    if (prefix.length === 0) return session;
    let isAtStart = true;
    return {
      reset: () => {
        session.reset();
        isAtStart = true;
      },
      feed: async (tokens) => {
        if (!isAtStart) return session.feed(tokens);
        isAtStart = false;
        const known = this.#prefix;
        if (known !== null && known.tokens.length === prefix.length && known.tokens.every((token, i) => token === prefix[i]))
          session.restore(known.row);
        else {
          await session.feed(prefix);
          this.#prefix = { tokens: prefix, row: session.keep() };
        }
        return session.feed(tokens.slice(prefix.length));
      },
    };
  }

  async release(): Promise<void> {
    await this.#session?.release();
    this.#session = null;
    this.#model = null;
    this.#adapters = [];
    this.#prefix = null;
  }
}

export function stoppedComparison(): Problem {
  return new Problem('stopped', 'The evaluation was stopped. Its answers are kept.', 'Resume it.');
}

function logProbability(logits: Float32Array, token: number): number {
  let largest = -Infinity;
  for (const logit of logits) largest = Math.max(largest, logit);
  let sum = 0;
  for (const logit of logits) sum += Math.exp(logit - largest);
  return logits[token]! - largest - Math.log(sum);
}
