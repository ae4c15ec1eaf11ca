/** Trains the adapter of the sample on the built-in model, and has every GGUF type answer its rows in llama.cpp. */
import { readFileSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { jsonFields } from '../engine/evaluate/json-fields.ts';
import { exportTargets } from '../engine/export/index.ts';
import { needsImportance } from '../engine/export/quant-mix.ts';
import { runTrain } from '../engine/jobs/train.ts';
import { embeddedModelPath, sampleFiles } from '../engine/resources.ts';
import { compareLogits } from './compare.mjs';
import { makeFamily } from './families/make.mjs';
import { answerTo, logitsOf, port, readRows, textOf, writeExport } from './ours.mjs';

/** Of the sample's first 16 questions, answers with the right fields that the usual type must keep. */
const rightAnswers = 13;
/** Of the difference between llama.cpp's logits and our own reading of the file, in spreads: it rounds activations, we do not. */
const limit = 0.2;
/** Tokens of an answer with the four fields are about 30. */
const longestAnswer = 48;
const byFields = jsonFields.open({});

/** Trains the adapter that *Try the sample* trains, and writes the model as a hub folder. */
export async function trainSample(folder) {
  const { train, recipe } = sampleFiles('json-orders');
  const cacheDir = join(folder, 'cache');
  const out = join(folder, 'run');
  const { adapterPath } = await runTrain(
    {
      ...{ kind: 'train', model: { path: embeddedModelPath() }, data: { paths: [train] }, adapterPath: null, out, cacheDir },
      ...{ recipe: JSON.parse(readFileSync(recipe, 'utf8')), device: 'cpu', skipBadRows: false, resume: false },
    },
    port,
  );
  const base = join(folder, 'hub');
  await writeExport({ model: embeddedModelPath(), format: 'safetensors', quantization: 'f32', out: base, cacheDir });
  return { base, adapter: adapterPath };
}

/**
 * Makes a row for every type of GGUF: of SmolLM2, whose rows of 576 are no whole blocks of 256, and of a small model whose rows
 * are.
 */
export async function checkQuantizations({ folder, sample, cacheDir, readers, results }) {
  const llama = readers.get('llama.cpp');
  const rows = readFileSync(sampleFiles('json-orders').test, 'utf8')
    .trim()
    .split('\n')
    .slice(0, 16)
    .map((line) => JSON.parse(line));
  const model = embeddedModelPath();
  const questions = await readRows(model, rows);
  const real = await reference(
    model,
    sample.adapter,
    questions.slice(0, 6).flatMap(({ whole }) => whole),
    cacheDir,
  );
  const small = makeFamily('llama', join(folder, 'llama'));
  const smallTokens = Array.from({ length: 200 }, (_, i) => (i * 7919) % 600);
  const whole = await reference(small.base, small.adapter, smallTokens, cacheDir);
  const types = exportTargets.filter(({ format }) => format === 'gguf').map(({ quantization }) => quantization);
  const table = [];
  for (const quantization of types) {
    const fail = (what) => {
      results.failures.push(what);
      console.log(`FAILED  GGUF ${quantization}: ${what}`);
    };
    const out = join(folder, `${quantization}.gguf`);
    const importance = needsImportance(quantization) ? [sampleFiles('json-orders').train] : [];
    const agreements = [];
    let right = 0;
    try {
      for (const { model: of, adapter, tokens, logits } of [whole, real]) {
        rmSync(out, { force: true });
        await writeExport({
          model: of,
          adapter,
          format: 'gguf',
          quantization,
          out,
          cacheDir,
          importance: of === model ? importance : [],
        });
        const read = await llama.read(out, { texts: [], ends: { stopTokens: [] }, tokens, promptLength: tokens.length - 1 });
        agreements.push(compareLogits(logits, read.logits).agreement);
        const own = await logitsOf({ path: out, format: 'gguf' }, tokens, join(folder, 'read'));
        const { mean } = compareLogits(own, read.logits);
        if (!(mean <= limit)) fail(`logits are ${mean.toPrecision(2)} spreads from our reading of the file (at most ${limit})`);
        rmSync(join(folder, 'read'), { recursive: true, force: true });
      }
      const answers = await llama.answers(
        out,
        questions.map(({ question }) => question),
        longestAnswer,
      );
      for (const [i, { expected }] of questions.entries())
        if (byFields.score({ question: '', expected }, await textOf(model, answers[i]))?.state === 'good') right++;
      if (quantization === 'q4_k_m' && right < rightAnswers) fail(`${right} of ${rows.length} answers have the right fields`);
      const megabytes = statSync(out).size / 1e6;
      table.push({ quantization, megabytes, agreements, right, questions: rows.length, importance: importance.length > 0 });
      console.log(`${quantization}: ${megabytes.toFixed(0)} MB, ${right} of ${rows.length} right, ${agreements.join(' ')}`);
    } catch (error) {
      fail(error.message);
    }
  }
  return table;
}

async function reference(model, adapter, tokens, cacheDir) {
  const { logits, tokens: all } = await answerTo(model, adapter, tokens, 1, cacheDir);
  return { model, adapter, tokens: all, logits };
}
