/** Exports a small model of every family and SmolLM2 with a trained adapter, and has every program read them. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { exportTargets } from '../engine/export/index.ts';
import { supportedFamilies } from '../engine/models/families/index.ts';
import { Problem } from '../engine/problem.ts';
import { compareLogits, differsAt } from './compare.mjs';
import { familyNames, makeFamily } from './families/make.mjs';
import { answerTo, logitsOf, readTexts, writeExport } from './ours.mjs';
import { LlamaCpp } from './readers/llama-cpp.mjs';
import { PythonReader } from './readers/python.mjs';
import { TransformersJs } from './readers/transformers-js.mjs';
import { checkQuantizations, trainSample } from './smollm2.mjs';
import { printTable, writeReadme } from './table.mjs';

/**
 * What is exported and who reads it. `limit`: of the difference of logits, in spreads; the largest of an exact export, which is held to
 * base and adapter as its greedy answer is to ours. Where weights are rounded the mean counts: the other program is held to our own
 * reading of the file, loosely where it rounds activations too (llama.cpp: 0.03 over two layers, 0.11 over SmolLM2's thirty; a tensor
 * read wrongly makes more than 1). What is stated is how often it says what base and adapter say.
 */
const columns = [
  // Its GELU is a table in half precision; its product with half precision rounds activations to it: 0.025 over SmolLM2's thirty layers.
  { title: 'llama.cpp f32', reader: 'llama.cpp', format: 'gguf', quantization: 'f32', exact: true, limit: 5e-3 },
  { title: 'llama.cpp f16', reader: 'llama.cpp', format: 'gguf', quantization: 'f16', exact: true, limit: 4e-2 },
  { title: 'llama.cpp q8_0', reader: 'llama.cpp', format: 'gguf', quantization: 'q8_0', exact: false, limit: 0.2 },
  { title: 'llama.cpp q4_k_m', reader: 'llama.cpp', format: 'gguf', quantization: 'q4_k_m', exact: false, limit: 0.2 },
  { title: 'llama.cpp LoRA', reader: 'llama.cpp', format: 'lora-gguf', quantization: null, exact: true, limit: 5e-3 },
  { title: 'transformers.js fp32', reader: 'transformers.js', format: 'onnx', quantization: 'f32', exact: true, limit: 1e-4 },
  { title: 'transformers.js fp16', reader: 'transformers.js', format: 'onnx', quantization: 'f16', exact: true, limit: 2e-2 },
  { title: 'transformers.js q8', reader: 'transformers.js', format: 'onnx', quantization: 'q8', exact: false, limit: 1e-3 },
  { title: 'transformers.js q4', reader: 'transformers.js', format: 'onnx', quantization: 'q4', exact: false, limit: 1e-3 },
  { title: 'genai fp32', reader: 'onnxruntime-genai', format: 'onnx', quantization: 'f32', exact: true, limit: 1e-4 },
  { title: 'genai q4', reader: 'onnxruntime-genai', format: 'onnx', quantization: 'q4', exact: false, limit: 1e-3 },
  { title: 'transformers', reader: 'transformers', format: 'safetensors', quantization: 'f32', exact: true, limit: 1e-4 },
  { title: 'PEFT', reader: 'transformers', format: 'peft', quantization: null, exact: true, limit: 1e-4 },
];

/** A tokenizer of each kind, windows, a tied head and an own one. */
const shortly = {
  families: ['llama', 'gemma3_text', 'gpt2', 'phi3'],
  columns: ['llama.cpp f32', 'llama.cpp f16', 'transformers.js fp32'],
};

/** Tokens of each answer. */
const answerLength = 16;

/** Has every wanted family read by every program. @returns whether everything passed */
export async function check({ short, readme, families }) {
  const work = mkdtempSync(join(tmpdir(), 'interop-'));
  const wanted = short ? columns.filter(({ title }) => shortly.columns.includes(title)) : columns;
  const { readers, absent } = await startReaders(new Set(wanted.map(({ reader }) => reader)));
  /** @type {import('./table.mjs').Results} */
  const results = {
    ...{ columns: wanted.map(({ title }) => title), rows: new Map(), quantizations: null, absent },
    ...{ ownWays: new Set(), failures: [], programs: [] },
  };
  const context = { ...{ work, cacheDir: join(work, 'cache'), readers, columns: wanted, results } };
  try {
    const chosen = short ? shortly.families : familyNames;
    for (const family of families.length > 0 ? families : chosen) {
      const folder = join(work, family);
      await checkModel(context, family, { ...makeFamily(family, folder), folder });
      rmSync(folder, { recursive: true });
    }
    if (!short && families.length === 0) {
      for (const family of supportedFamilies.filter((name) => !familyNames.includes(name))) {
        results.failures.push(family);
        console.log(`FAILED  ${family}: families/configs.mjs has no such family`);
      }
      const folder = join(work, 'smollm2');
      const sample = await trainSample(folder);
      await checkModel(context, 'SmolLM2-135M', { ...sample, folder });
      results.quantizations = await checkQuantizations({ ...context, folder, sample });
    }
  } finally {
    for (const reader of readers.values()) await reader.stop();
    rmSync(work, { recursive: true, force: true });
  }
  results.programs = [...readers.values()].map(({ version }) => version);
  printTable(results);
  if (readme) writeReadme(results);
  return results.failures.length === 0;
}

/** Programs that can be had for nothing must be there; Python is used where it is. */
async function startReaders(names) {
  const starts = {
    'llama.cpp': () => LlamaCpp.start(),
    'transformers.js': () => new TransformersJs(),
    transformers: () => PythonReader.hub(),
    'onnxruntime-genai': () => PythonReader.genai(),
  };
  const readers = new Map();
  const absent = new Map();
  for (const name of names)
    try {
      readers.set(name, await starts[name]());
    } catch (error) {
      if (name === 'llama.cpp' || name === 'transformers.js') throw error;
      absent.set(name, error.message);
    }
  return { readers, absent };
}

/** One row of the table. `base`: the hub folder or GGUF that is exported; `hub`: the base as transformers has it. */
async function checkModel(context, name, { base, hub = base, adapter, folder }) {
  const { cacheDir, readers, results } = context;
  const texts = await readTexts(base);
  const ours = await answerTo(base, adapter, texts.prompt, answerLength, cacheDir);
  const cells = new Map();
  results.rows.set(name, cells);
  const written = new Map();
  for (const column of context.columns) {
    const { title, format, quantization } = column;
    const reader = readers.get(column.reader);
    const fail = (what) => {
      cells.set(title, 'FAILED');
      results.failures.push(what);
      console.log(`FAILED  ${name}, ${title}: ${what}`);
    };
    if (reader === undefined || !exportTargets.some((target) => target.format === format)) {
      cells.set(title, '');
      continue;
    }
    try {
      const out = join(folder, `${format}-${quantization}${format === 'gguf' ? '.gguf' : ''}`);
      if (!written.has(out)) {
        written.set(out, true);
        await writeExport({ ...{ model: base, adapter, format, quantization, out, cacheDir } });
      }
      const asked = { ...texts, ...ours, quantization };
      const path = format === 'peft' ? hub : format === 'lora-gguf' ? join(folder, 'base.gguf') : out;
      if (format === 'lora-gguf') await writeExport({ model: base, format: 'gguf', quantization: 'f32', out: path, cacheDir });
      const read = await reader.read(path, {
        ...asked,
        ...(format === 'peft' ? { adapter: out } : format === 'lora-gguf' ? { lora: out } : {}),
      });
      const split = splitsOtherwise(texts, read);
      // What it reads its own way is worth a word; greedy answers to the same tokens are what counts.
      if (split !== null && column.reader === 'onnxruntime-genai') results.ownWays.add(name);
      else if (split !== null) fail(split);
      const wrong = readWrongly(texts, read);
      if (wrong !== null) fail(wrong);
      const { worst, agreement } = compareLogits(ours.logits, read.logits);
      const file = { path: out, format, quantization, model: base };
      const judged = column.exact ? worst : compareLogits(await logitsOf(file, ours.tokens, cacheDir), read.logits).mean;
      if (!(judged <= column.limit)) fail(`logits are ${judged.toPrecision(2)} spreads apart (at most ${column.limit})`);
      const place = column.exact ? differsAt(ours, read.answer, 2 * worst) : null;
      if (place !== null) fail(`the answer differs from its token ${place + 1} on`);
      if (!cells.has(title)) cells.set(title, column.exact ? '=' : `${(100 * agreement).toFixed(0)} %`);
    } catch (error) {
      // What a program has no way to compute is refused by name.
      if (error instanceof Problem && error.code === 'export-unsupported') cells.set(title, '–');
      else fail(error.message);
    }
  }
  const shown = [...cells].filter(([, cell]) => cell !== '').map(([title, cell]) => `${title} ${cell}`);
  console.log(`${name}: ${shown.join(', ')}`);
}

/** The first text that another program cuts into other tokens; null when there is none. */
function splitsOtherwise({ texts, ids }, read) {
  const at = texts.findIndex((_, i) => !isDeepStrictEqual(read.ids[i], ids[i]));
  return at < 0 ? null : `'${texts[at]}' becomes ${read.ids[at].join(' ')} instead of ${ids[at].join(' ')}`;
}

/** What else another program reads differently beside numbers; null when all is as it should be. */
function readWrongly({ rendered, ends }, read) {
  if (read.rendered !== undefined && read.rendered !== rendered)
    return `the template writes '${read.rendered}' instead of '${rendered}'`;
  // Of a model that also sees, the text part is exported.
  const unused = (read.unused ?? []).filter((tensor) => !/\b(vision_tower|multi_modal_projector)\b/.test(tensor));
  if (unused.length > 0) return `without a place or a tensor: ${unused.join(', ')}`;
  if (read.ends === undefined) return null;
  const { bos, eos, addBos, addEos, stopTokens } = read.ends;
  if (addBos !== ends.addBos || (addBos && bos !== ends.bos)) return `a text begins with ${addBos ? bos : 'nothing'}`;
  if (addEos !== ends.addEos || eos !== ends.eos) return `a text ends with ${eos}`;
  const goesOn = ends.stopTokens.find((token) => !stopTokens.includes(token));
  return goesOn === undefined ? null : `an answer does not end at ${goesOn}`;
}
