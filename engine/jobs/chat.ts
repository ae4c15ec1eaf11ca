/**
 * Runs the job `chat`, which keeps one base model open for answers. Adapters come with each request, and are switched without
 * loading the model again.
 */
import { adapted, openHashedAdapter, requireRecorded, type AdaptedModel, type OpenAdapter } from '../adapters/adapted.ts';
import type { AdapterAt, GenerateResult, JobRequest, JobSpec, JsonSchema } from '../contract.ts';
import { beginningOf } from '../data/plain-text.ts';
import { type Tokenizer, tokenizerOf } from '../data/tokenizer.ts';
import { GenerationSession, type GenerationOptions } from '../decoder/generation.ts';
import type { Constraint } from '../evaluate/constrained/constraint.ts';
import { openConstraint } from '../evaluate/constrained/open.ts';
import { generate } from '../evaluate/generate.ts';
import { type Asking, chatPrompt } from '../evaluate/questions.ts';
import { stampOf } from '../formats/files.ts';
import { openModel, type OpenModel } from '../models/open.ts';
import type { TokenizerSource } from '../models/tokenizer-source.ts';
import { contextOf } from '../models/positions.ts';
import { Problem } from '../problem.ts';
import { cpuThreads } from '../runtime/devices.ts';
import { openSession } from '../runtime/session.ts';
import type { JobAsker, JobPort } from './port.ts';
import { runOfAdapter } from './run-folder.ts';

type ChatRequest = Extract<JobRequest, { name: 'generate' }>;

export async function runChat(spec: Extract<JobSpec, { kind: 'chat' }>, port: JobPort): Promise<null> {
  const model = openModel(spec.model.path, spec.model.acceptFields);
  const options = { threads: cpuThreads(), cacheDir: spec.cacheDir, openSession };
  port.send({
    type: 'progress',
    progress: { phase: 'Loading the model', done: 0, total: 1, unit: 'models', secondsLeft: null },
  });
  const session = await GenerationSession.open(model, options);
  const chat = new Chat(model, session, options, port);
  port.onRequest((request, asker) => chat.answer(request, asker));
  port.send({ type: 'ready' });
  await port.untilStopped();
  await chat.end();
  return null;
}

/** Returns how an adapter is asked: for a thought or for none, as the rows of its run were. Nothing is known of an adapter without a run. */
function askingOf(adapter: AdapterAt | undefined): Asking {
  const run = adapter === undefined ? null : runOfAdapter(adapter);
  return run === null ? {} : { thinking: run.record.recipe.thinking };
}

/** Says that an answer was held to a schema, and what has come of it. */
function heldNote({ constrained, tokens }: Pick<GenerateResult, 'constrained' | 'tokens'>, { enough }: Constraint): string {
  if (constrained === 'complete') return 'The answer was held to the schema, and is a document that it allows.';
  const cut = `The answer was held to the schema, and was cut after ${tokens.length} tokens before its document was whole.`;
  return tokens.length < enough ? `${cut} ${enough} tokens are enough for the shortest one.` : cut;
}

class Chat {
  readonly #model: OpenModel;
  readonly #options: GenerationOptions;
  readonly #port: JobPort;
  readonly #adapters = new Map<string, { readonly stamp: string } & ReturnType<typeof openHashedAdapter>>();
  readonly #tokenizers = new Map<TokenizerSource, Tokenizer>();
  #session: GenerationSession;
  /** Gives the number of rows of the embedding that the session has. */
  #vocabularySize: number;
  /** Holds the request in progress: there is one cache of keys and values, so requests take turns. */
  #turn: Promise<unknown> = Promise.resolve();
  #isEnding = false;
  /** Holds the constraint of the schema that was asked for last, which takes time to open. */
  #held: { readonly schema: string; readonly tokenizer: Tokenizer; readonly constraint: Constraint } | null = null;

  constructor(model: OpenModel, session: GenerationSession, options: GenerationOptions, port: JobPort) {
    this.#model = model;
    this.#options = options;
    this.#session = session;
    this.#vocabularySize = model.spec.vocabularySize;
    this.#port = port;
  }

  async answer(request: JobRequest, { signal }: Pick<JobAsker, 'signal'>): Promise<unknown> {
    if (request.name !== 'generate')
      throw new Problem(
        'request-invalid',
        `The chat process does not handle '${request.name}'.`,
        'Send the request to the data process.',
      );
    const turn = this.#turn.then(() => this.#generate(request, signal));
    this.#turn = turn.catch(() => {});
    return turn;
  }

  /** Ends the answer in progress and frees the model. */
  async end(): Promise<void> {
    this.#isEnding = true;
    await this.#turn;
    await this.#session.release();
  }

  /** Generates until the answer ends or nobody waits for it any more. */
  async #generate({ adapters, prompt, settings, schema, streamId }: ChatRequest, signal: AbortSignal): Promise<GenerateResult> {
    const shouldStop = () => signal.aborted || this.#isEnding;
    if (shouldStop()) throw new Problem('stopped', 'It was stopped before it started.', 'Try again.');
    const answering = adapted(
      this.#model,
      adapters.map((at) => ({ opened: this.#adapter(at), weight: at.weight })),
    );
    const tokenizer = this.#tokenizerOf(answering.model);
    const asking = askingOf(adapters[0]);
    const promptTokens = await this.#promptTokens(prompt, answering.model, tokenizer, asking);
    const constraint = schema === undefined ? null : this.#constraint(schema, this.#needed(tokenizer, 'write a document'));
    await this.#prepare(answering);
    const answer = await generate(this.#session, {
      promptTokens,
      settings,
      contextLength: contextOf(this.#model.spec),
      tokenizer,
      ...(constraint && { constraint }),
      onToken: (token, text) => this.#port.send({ type: 'token', streamId, token, text }),
      shouldStop,
    });
    const isAsked = 'messages' in prompt && asking.thinking !== undefined && asking.thinking !== 'row';
    const asked = isAsked ? [`The first adapter was trained with thinking ${asking.thinking}, and is asked like that.`] : [];
    const held = constraint === null ? [] : [heldNote(answer, constraint)];
    return { ...answer, notes: [...answering.notes, ...asked, ...held] };
  }

  /** Switches the adapters in the open session. Adapters that were trained with another vocabulary size need a new session. */
  async #prepare({ model, adapters }: AdaptedModel): Promise<void> {
    const { vocabularySize } = model.spec;
    if (vocabularySize !== this.#vocabularySize) {
      const session = await GenerationSession.open(model, this.#options);
      await this.#session.release();
      [this.#session, this.#vocabularySize] = [session, vocabularySize];
    }
    await this.#session.useAdapters(adapters);
  }

  #tokenizerOf(model: OpenModel): Tokenizer | null {
    const source = model.tokenizerSource;
    const held = source === null ? undefined : this.#tokenizers.get(source);
    if (held !== undefined) return held;
    const tokenizer = tokenizerOf(model);
    if (source !== null && tokenizer !== null) this.#tokenizers.set(source, tokenizer);
    return tokenizer;
  }

  async #promptTokens(
    prompt: ChatRequest['prompt'],
    { spec }: OpenModel,
    tokenizer: Tokenizer | null,
    asking: Asking,
  ): Promise<readonly number[]> {
    if ('tokens' in prompt) {
      const size = spec.vocabularySize;
      const wrong = prompt.tokens.find((id) => !Number.isInteger(id) || id < 0 || id >= size);
      if (wrong === undefined) return prompt.tokens;
      throw new Problem(
        'token-out-of-range',
        `The prompt contains the token id ${wrong}, but the ids of the model are 0 to ${size - 1}.`,
        'Use token ids from this model’s tokenizer.',
      );
    }
    const reading = this.#needed(tokenizer, 'read text');
    if ('messages' in prompt)
      return chatPrompt(prompt.messages, reading, { ...asking, ...(prompt.tools && { tools: prompt.tools }) });
    const ids = await reading.encode(prompt.text);
    return [...beginningOf(ids, reading), ...ids];
  }

  #needed(tokenizer: Tokenizer | null, forWhat: string): Tokenizer {
    if (tokenizer !== null) return tokenizer;
    throw new Problem(
      'tokenizer-missing',
      `'${this.#model.path}' has no tokenizer, so it cannot ${forWhat}.`,
      'Use token ids, or a model with a tokenizer.json. transformers can convert a tokenizer.model into one.',
    );
  }

  #constraint(given: JsonSchema, tokenizer: Tokenizer): Constraint {
    const schema = JSON.stringify(given);
    if (this.#held?.schema !== schema || this.#held.tokenizer !== tokenizer)
      this.#held = { schema, tokenizer, constraint: openConstraint(given, tokenizer) };
    return this.#held.constraint;
  }

  /** Opens an adapter, once until one of its files changes. Either way it is held to what is recorded of it. */
  #adapter(at: AdapterAt): OpenAdapter {
    const { path } = at;
    const stamp = stampOf([path]);
    const held = this.#adapters.get(path);
    if (held?.stamp === stamp) {
      requireRecorded(path, held.file, at);
      return held.opened;
    }
    const read = openHashedAdapter(this.#model, path, at);
    this.#adapters.set(path, { stamp, ...read });
    return read.opened;
  }
}
