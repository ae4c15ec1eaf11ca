/** Job `chat`: holds one base model ready to answer; adapters are given with each request and switched without loading it again. */
import { statSync } from 'node:fs';
import type { AdapterWeight, GenerateResult, JobRequest, JobSpec } from '../contract.ts';
import { openTemplate } from '../data/template.ts';
import type { Tokenizer } from '../data/tokenizer.ts';
import { generate } from '../evaluate/generate.ts';
import { GenerationSession } from '../models/generation.ts';
import { openModel, type OpenModel } from '../models/open.ts';
import { Problem } from '../problem.ts';
import { cpuThreads } from '../runtime/devices.ts';
import { openSession } from '../runtime/session.ts';
import type { Adapter } from '../training/lora/adapter.ts';
import { adapterFile, readAdapter } from '../training/lora/folder.ts';
import { tokenizerOf } from './load.ts';
import type { JobPort } from './port.ts';

type ChatRequest = Extract<JobRequest, { name: 'generate' }>;

export async function runChat(spec: Extract<JobSpec, { kind: 'chat' }>, port: JobPort): Promise<null> {
  const model = openModel(spec.modelPath, spec.acceptFields);
  const tokenizer = tokenizerOf(model);
  port.send({
    type: 'progress',
    progress: { phase: 'Loading the model', done: 0, total: 1, unit: 'models', secondsLeft: null },
  });
  const session = await GenerationSession.open(model, { threads: cpuThreads(), cacheDir: spec.cacheDir, openSession });
  const chat = new Chat(model, tokenizer, session, port);
  port.onRequest((request) => chat.answer(request));
  port.send({ type: 'ready' });
  await port.untilStopped();
  await chat.end();
  return null;
}

class Chat {
  readonly #model: OpenModel;
  readonly #tokenizer: Tokenizer | null;
  readonly #session: GenerationSession;
  readonly #port: JobPort;
  readonly #adapters = new Map<string, { readonly version: string; readonly adapter: Adapter }>();
  /** Streams asked for and not finished; true when one is to stop. */
  readonly #streams = new Map<string, boolean>();
  /** There is one cache of keys and values: requests take turns. */
  #turn: Promise<unknown> = Promise.resolve();

  constructor(model: OpenModel, tokenizer: Tokenizer | null, session: GenerationSession, port: JobPort) {
    this.#model = model;
    this.#tokenizer = tokenizer;
    this.#session = session;
    this.#port = port;
  }

  async answer(request: JobRequest): Promise<unknown> {
    switch (request.name) {
      case 'generate':
        this.#streams.set(request.streamId, false);
        try {
          const turn = this.#turn.then(() => this.#generate(request));
          this.#turn = turn.catch(() => {});
          return await turn;
        } finally {
          this.#streams.delete(request.streamId);
        }
      case 'stopGenerate':
        if (this.#streams.has(request.streamId)) this.#streams.set(request.streamId, true);
        return null;
      default:
        throw new Problem('request-invalid', `A chat does not answer '${request.name}'.`, 'Ask the data process.');
    }
  }

  /** Ends what is running and frees the model. */
  async end(): Promise<void> {
    for (const streamId of this.#streams.keys()) this.#streams.set(streamId, true);
    await this.#turn;
    await this.#session.release();
  }

  async #generate({ adapters, prompt, settings, streamId }: ChatRequest): Promise<GenerateResult> {
    const promptTokens = await this.#promptTokens(prompt);
    await this.#session.useAdapters(adapters.map(({ path, weight }) => ({ adapter: this.#adapter(path), weight })));
    return generate(this.#session, {
      promptTokens,
      settings,
      contextLength: this.#model.spec.contextLength,
      tokenizer: this.#tokenizer,
      onToken: (token, text) => this.#port.send({ type: 'token', streamId, token, text }),
      shouldStop: () => this.#streams.get(streamId) === true,
    });
  }

  async #promptTokens(prompt: ChatRequest['prompt']): Promise<readonly number[]> {
    if ('tokens' in prompt) {
      const size = this.#model.spec.vocabularySize;
      const wrong = prompt.tokens.find((id) => !Number.isInteger(id) || id < 0 || id >= size);
      if (wrong === undefined) return prompt.tokens;
      throw new Problem(
        'token-out-of-range',
        `The prompt has the token ${wrong}; the model has the ids 0 to ${size - 1}.`,
        'Use ids of this model’s tokenizer.',
      );
    }
    const tokenizer = this.#tokenizer;
    if (tokenizer === null)
      throw new Problem(
        'tokenizer-missing',
        `'${this.#model.path}' has no tokenizer, so it cannot read text.`,
        'Give token ids, or a model with its tokenizer.json; transformers makes one of a tokenizer.model.',
      );
    if ('messages' in prompt)
      return tokenizer.encode(openTemplate(tokenizer).render(prompt.messages, { addGenerationPrompt: true }));
    const ids = await tokenizer.encode(prompt.text);
    return tokenizer.addBos && tokenizer.bos !== null && ids[0] !== tokenizer.bos ? [tokenizer.bos, ...ids] : ids;
  }

  /** Read once; again when its file has changed. */
  #adapter(path: AdapterWeight['path']): Adapter {
    const found = statSync(adapterFile(path).weights, { throwIfNoEntry: false });
    const version = `${found?.mtimeMs} ${found?.size}`;
    const held = this.#adapters.get(path);
    if (held?.version === version) return held.adapter;
    const adapter = readAdapter(path, this.#model.spec);
    this.#adapters.set(path, { version, adapter });
    return adapter;
  }
}
