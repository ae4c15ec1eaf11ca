/**
 * The peer of `npm run bench -- --only generation`: the same prompt and answer through llama.cpp.
 *     UV_THREADPOOL_SIZE=1 node interop/speed.mjs MODEL.gguf THREADS [rounds]
 */
import { getLlama } from 'node-llama-cpp';

const [modelPath, threads = '2', rounds = '3'] = process.argv.slice(2);
const [promptTokens, answerTokens] = [512, 128];
const llama = await getLlama({ gpu: false, build: 'never', maxThreads: Number(threads), progressLogs: false });
const model = await llama.loadModel({ modelPath });
const context = await model.createContext({
  contextSize: promptTokens + answerTokens + 64,
  batchSize: promptTokens,
  threads: { ideal: Number(threads), min: Number(threads) },
});
const sequence = context.getSequence();
const prompt = Array.from({ length: promptTokens }, (_, i) => 1 + (Math.imul(i + 1, 7919) % 49_000));
const speeds = [];
for (let round = 0; round <= Number(rounds); round++) {
  await sequence.clearHistory();
  const asked = performance.now();
  const times = [];
  for await (const _ of sequence.evaluate(prompt, { temperature: 0 })) {
    times.push(performance.now());
    if (times.length > answerTokens) break;
  }
  speeds.push({
    prompt: (1000 * promptTokens) / (times[0] - asked),
    decode: (1000 * answerTokens) / (times[answerTokens] - times[0]),
  });
}
const median = (values) => values.toSorted((a, b) => a - b)[values.length >> 1];
const [promptTokensPerSecond, decodeTokensPerSecond] = ['prompt', 'decode'].map((what) =>
  median(speeds.slice(1).map((speed) => speed[what])),
);
const processor = process.cpuUsage();
console.log(
  JSON.stringify({
    peer: 'llama.cpp',
    threads: Number(threads),
    promptTokensPerSecond,
    decodeTokensPerSecond,
    cpuSeconds: (processor.user + processor.system) / 1e6,
  }),
);
await llama.dispose();
process.exit(0);
