/** Answers questions with the model and adapters of one contestant after another, in one session where that is possible. */
import type { WeightedAdapter } from '../adapters/delta.ts';
import type { EndpointRef } from '../contract.ts';
import type { Tokenizer } from '../data/tokenizer.ts';
import { canShareCache, GenerationBatch } from '../decoder/generation-batch.ts';
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

/** Says how questions are answered. */
export interface AnsweringRows {
  /** Gives the tokens that all prompts begin with. */
  readonly shared: number;
  /** Limits the tokens of the answer to a row. */
  readonly limitOf: (row: AskedRow) => number;
  readonly onAnswer?: (row: AskedRow, answer: Answer) => void;
}

/** Feeds the tokens of one answer. */
interface OneAnswer extends LogitSource {
  /** Gives the seconds that it took so far: of runs that answer several rows, its share. */
  readonly seconds: number;
  end(): void;
}

/**
 * Limit the rows that are answered together. Of twice as many rows each takes a fifth less time; the cache of a token takes 46 KB
 * in a model of 135 million weights and 260 KB in one of 7 billion.
 */
const mostTogether = 16;
const mostTokensTogether = 2048;

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
   * Answers questions greedily, or takes the answers that are kept of them. Rows are answered together where the model allows it.
   * The first `shared` tokens of the prompts are the same, and are fed once for all. Throws a `Problem` when it is stopped.
   */
  async answers(
    contestant: OpenContestant,
    rows: readonly AskedRow[],
    { shared, limitOf, onAnswer = () => {} }: AnsweringRows,
  ): Promise<Answer[]> {
    const { at, identity, model, tokenizer } = contestant;
    const answers = new Map<AskedRow, Answer>();
    const put = (row: AskedRow, answer: Answer): void => {
      answers.set(row, answer);
      onAnswer(row, answer);
    };
    const { endpoint } = at;
    if (endpoint !== undefined) {
      for (const row of rows) put(row, await this.#ask(endpoint, row, limitOf(row)));
      return rows.map((row) => answers.get(row)!);
    }
    const held = at.constrained === true ? this.#schema : null;
    const keyOf = (row: AskedRow) => ['answer', ...identity, held, limitOf(row), row.question.prompt];
    const answer = async (row: AskedRow, source: OneAnswer): Promise<void> => {
      try {
        const given = await this.#kept.get(keyOf(row), async () => {
          const { text, tokens } = await answerGreedily(source, row.question, {
            ...{ contextLength: contextOf(model.spec), tokenizer: tokenizer!, maxTokens: limitOf(row) },
            ...(held === null ? {} : { constraint: this.#constraintFor(tokenizer!) }),
            shouldStop: () => this.#port.stopRequested,
          });
          // Half an answer is none, and must not be kept.
          if (this.#port.stopRequested) throw stoppedComparison();
          return { text, tokens: tokens.length, seconds: source.seconds };
        });
        put(row, given);
      } finally {
        source.end();
      }
    };
    const others: AskedRow[] = [];
    for (const row of rows) {
      const known = this.#kept.find<Answer>(keyOf(row));
      if (known === undefined) others.push(row);
      else put(row, known);
    }
    const longest = Math.max(0, ...others.map((row) => row.question.prompt.length + limitOf(row)));
    const isTogether = canShareCache(model.spec, longest);
    for (const together of isTogether ? batchesOf(others, shared, limitOf) : others.map((row) => [row])) {
      const session = await this.#sessionFor(contestant);
      const prefix = together[0]!.question.prompt.slice(0, shared);
      const sources = isTogether ? await this.#together(session, prefix, together.length) : [this.#alone(session, prefix)];
      const ended = await Promise.allSettled(together.map((row, i) => answer(row, sources[i]!)));
      for (const end of ended) if (end.status === 'rejected') throw end.reason;
    }
    return rows.map((row) => answers.get(row)!);
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
  #ask(endpoint: EndpointRef, { messages, question }: AskedRow, maxTokens: number): Promise<Answer> {
    return this.#kept.get(['endpoint', endpoint.url, endpoint.model, maxTokens, messages], async () => {
      const stopped = new AbortController();
      void this.#port.untilStopped().then(() => stopped.abort());
      const begun = performance.now();
      const answer = await askEndpoint(endpoint, messages ?? [], maxTokens, stopped.signal).catch((error: unknown) => {
        throw this.#port.stopRequested ? stoppedComparison() : error;
      });
      const { text, tokens, promptTokens } = answer;
      const seconds = (performance.now() - begun) / 1000;
      return { text, tokens: tokens ?? 0, promptTokens: promptTokens ?? question.prompt.length, seconds };
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

  /** Opens rows that are answered together, each of which goes on after `prefix`. */
  async #together(session: GenerationSession, prefix: readonly number[], count: number): Promise<OneAnswer[]> {
    const batch = new GenerationBatch(session, prefix.length === 0 ? null : await this.#after(session, prefix));
    return Array.from({ length: count }, () => {
      const row = batch.open();
      return {
        get seconds() {
          return row.seconds;
        },
        end: row.end,
        ...afterPrefix(prefix, row.feed),
      };
    });
  }

  /** Opens one answer by itself. */
  #alone(session: GenerationSession, prefix: readonly number[]): OneAnswer {
    const begun = performance.now();
    const source = this.#startingWith(session, prefix);
    return {
      get seconds() {
        return (performance.now() - begun) / 1000;
      },
      end: () => {},
      reset: () => source.reset(),
      feed: (tokens) => source.feed(tokens),
    };
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
        session.restore(await this.#after(session, prefix));
        return session.feed(tokens.slice(prefix.length));
      },
    };
  }

  /** Returns the state of the session after `prefix`, which is kept for the next question that begins with it. */
  async #after(session: GenerationSession, prefix: readonly number[]): Promise<KeptRow> {
    const known = this.#prefix;
    if (known !== null && known.tokens.length === prefix.length && known.tokens.every((token, i) => token === prefix[i]))
      return known.row;
    session.reset();
    await session.feed(prefix);
    const row = session.keep();
    this.#prefix = { tokens: prefix, row };
    return row;
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

/** Divides rows into those that are answered together. */
function batchesOf(rows: readonly AskedRow[], shared: number, limitOf: (row: AskedRow) => number): AskedRow[][] {
  const batches: AskedRow[][] = [];
  let tokens = Infinity;
  for (const row of rows) {
    const own = row.question.prompt.length - shared + limitOf(row);
    if (tokens + own > mostTokensTogether || batches.at(-1)!.length === mostTogether) {
      batches.push([]);
      tokens = 0;
    }
    batches.at(-1)!.push(row);
    tokens += own;
  }
  return batches;
}

/** Makes a source of a row that has `prefix` already: what it is fed first begins with that. */
function afterPrefix(prefix: readonly number[], feed: LogitSource['feed']): LogitSource {
  let isAtStart = true;
  return {
    reset: () => {
      isAtStart = true;
    },
    feed: (tokens) => {
      const rest = isAtStart ? tokens.slice(prefix.length) : tokens;
      isAtStart = false;
      return feed(rest);
    },
  };
}

function logProbability(logits: Float32Array, token: number): number {
  let largest = -Infinity;
  for (const logit of logits) largest = Math.max(largest, logit);
  let sum = 0;
  for (const logit of logits) sum += Math.exp(logit - largest);
  return logits[token]! - largest - Math.log(sum);
}
