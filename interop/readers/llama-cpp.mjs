/** Reads exports with llama.cpp, through node-llama-cpp. */
import { getLlama } from 'node-llama-cpp';
import { cpuThreads } from '../../engine/runtime/devices.ts';

/** Its threads spin while they wait for each other: with one for every core, another busy process makes it crawl. */
const threads = Math.max(1, Math.floor(cpuThreads() / 2));
/** Positions at a time: each of them costs a list of the whole vocabulary. */
const piece = 32;

export class LlamaCpp {
  #llama;

  static async start() {
    const started = new LlamaCpp();
    started.#llama = await getLlama({
      gpu: false,
      build: 'never',
      maxThreads: threads,
      progressLogs: false,
      logLevel: 'error',
    });
    return started;
  }

  get version() {
    return `llama.cpp ${this.#llama.llamaCppRelease.release}`;
  }

  stop() {
    return this.#llama.dispose();
  }

  /**
   * Returns token ids of `texts`, where a text begins and an answer ends, the logits after every token but the last of
   * `tokens`, and its own greedy answer to the first `promptLength` of them. `lora` is an adapter's file on the model.
   */
  read(path, { texts, ends, tokens, promptLength, lora = null }) {
    return this.#with(path, lora, async (model, sequence) => {
      const ids = texts.map((text) => [...model.tokenize(text, true)]);
      const logits = [];
      const asked = tokens.slice(0, -1).map((token) => [token, { generateNext: { logits: true } }]);
      for (let start = 0; start < asked.length; start += piece)
        for (const { next } of await sequence.controlledEvaluate(asked.slice(start, start + piece))) {
          const values = new Float32Array(next.logits.size);
          for (const [token, logit] of next.logits) values[token] = logit;
          logits.push(values);
        }
      await sequence.clearHistory();
      const answer = await greedy(sequence, tokens.slice(0, promptLength), tokens.length - promptLength);
      const { bos, eos, shouldPrependBosToken: addBos, shouldAppendEosToken: addEos } = model.tokens;
      const stopTokens = ends.stopTokens.filter((token) => model.isEogToken(token));
      return { ids, logits, answer, ends: { bos, eos, addBos, addEos, stopTokens } };
    });
  }

  /** Returns its greedy answers to prompts, each to an end of turn or `limit` tokens. */
  answers(path, prompts, limit) {
    return this.#with(path, null, async (model, sequence) => {
      const answers = [];
      for (const prompt of prompts) {
        await sequence.clearHistory();
        answers.push(await greedy(sequence, prompt, limit, (token) => model.isEogToken(token)));
      }
      return answers;
    });
  }

  async #with(path, lora, use) {
    const model = await this.#llama.loadModel({ modelPath: path, gpuLayers: 0, useMmap: false });
    try {
      const context = await model.createContext({
        ...{ contextSize: 512, sequences: 1, flashAttention: false, threads: { ideal: threads, min: threads } },
        // Its cache is half precision unless asked otherwise.
        ...{ experimentalKvCacheKeyType: 'F32', experimentalKvCacheValueType: 'F32' },
        ...(lora === null ? {} : { lora: { adapters: [{ filePath: lora, scale: 1 }] } }),
      });
      const result = await use(model, context.getSequence());
      await context.dispose();
      return result;
    } finally {
      await model.dispose();
    }
  }
}

async function greedy(sequence, prompt, limit, isEnd = (_token) => false) {
  const tokens = [];
  // Temperature 0 is greedy; the end of turn is part of the answer.
  for await (const token of sequence.evaluate(prompt, { temperature: 0, yieldEogToken: true })) {
    tokens.push(token);
    if (tokens.length === limit || isEnd(token)) break;
  }
  return tokens;
}
