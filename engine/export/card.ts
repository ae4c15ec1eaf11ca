/** Writes the model card beside an export: what is known of it, and nothing else. */
import { basename } from 'node:path';
import type { ExportFormat, Lineage, Proof, Quantization } from '../contract.ts';
import { longestName, shown } from '../problem.ts';
import { defaultRecipe, type Recipe } from '../recipe.ts';

export interface CardFacts {
  readonly format: ExportFormat;
  readonly quantization: Quantization | null;
  /** Gives the name of the folder. */
  readonly name: string;
  /** Gives the title of the format, and where it runs, as the table of exports has them. */
  readonly title: string;
  readonly runsIn: string;
  readonly lineage: Lineage;
  /** Gives the base's name on a hub, where an adapter states it. */
  readonly hubBase: string | null;
  readonly training: TrainingFacts | null;
  /** Holds the proof, or null when none was requested. */
  readonly proof: Proof | null;
}

/** Holds the facts that the folder of the run records. */
export interface TrainingFacts {
  readonly recipe: Recipe;
  readonly steps: number;
  readonly trainableParameters: number;
  readonly evaluation: { readonly rows: number; readonly before: number; readonly after: number } | null;
}

export function modelCard(facts: CardFacts): string {
  const { name, title, runsIn, lineage, training, proof } = facts;
  return (
    [
      frontMatter(facts),
      `# ${plain(name)}`,
      `${whatItIs(facts)} ${runsIn}`,
      section('Base', [baseText(lineage)]),
      section('Data', [dataText(lineage)]),
      ...(training === null ? [] : [section('Training', [recipeTable(training), evaluationText(training)])]),
      section('Proof', [proofText(title, proof)]),
      section('How to run', [howToRun(facts)]),
      `Written by Lowrank Studio ${lineage.studio}; \`lowrank.json\` has the hash of every file.`,
    ].join('\n\n') + '\n'
  );
}

function section(title: string, parts: readonly string[]): string {
  return [`## ${title}`, ...parts.filter((part) => part !== '')].join('\n\n');
}

const libraries: Readonly<Partial<Record<ExportFormat, string>>> = {
  peft: 'peft',
  mlx: 'mlx',
  safetensors: 'transformers',
  onnx: 'transformers.js',
};

/**
 * Returns the front matter that hubs read. It names a base by its address on a hub, so a base that exists only on this computer
 * is left out.
 */
function frontMatter({ format, lineage, hubBase, quantization }: CardFacts): string {
  const adapter = format === 'peft' || format === 'mlx';
  const relation = adapter ? 'adapter' : quantization?.startsWith('q') === true ? 'quantized' : 'finetune';
  const library = libraries[format];
  const lines = [
    ...(lineage.base.licence === null ? [] : [`license: ${JSON.stringify(shown(lineage.base.licence, longestName))}`]),
    ...(hubBase === null ? [] : [`base_model: ${JSON.stringify(hubBase)}`, `base_model_relation: ${relation}`]),
    ...(library === undefined ? [] : [`library_name: ${library}`]),
    'pipeline_tag: text-generation',
    'tags:',
    ...['lowrank-studio', ...(lineage.adapters.length > 0 ? ['lora'] : [])].map((tag) => `- ${tag}`),
  ];
  return ['---', ...lines, '---'].join('\n');
}

function whatItIs({ title, lineage: { base, adapters } }: CardFacts): string {
  const parts = adapters.map(({ name, weight }) => (weight === 1 ? `‘${plain(name)}’` : `‘${plain(name)}’ (weight ${weight})`));
  return parts.length === 0 ? `${title} of ${plain(base.name)}.` : `${title}: ${plain(base.name)} with ${parts.join(' and ')}.`;
}

function baseText({ base: { name, hash, licence } }: Lineage): string {
  const terms =
    licence === null
      ? 'Its files do not state a licence; what the base was given out under holds for this too.'
      : `Its licence is ${plain(licence)}, which holds for this too.`;
  return `${plain(name)}, weights SHA-256 \`${hash}\`. ${terms}`;
}

function dataText({ data, adapters }: Lineage): string {
  if (adapters.length === 0) return 'None: this is the base itself.';
  if (data === null) return 'What the adapter was trained on is not recorded beside it.';
  return `${data.rows} rows of ${plain(data.name)}, SHA-256 ${code(data.hash)}.`;
}

const always: readonly (keyof Recipe)[] = [
  'rank',
  'alpha',
  'targetModules',
  'learningRate',
  'schedule',
  'batchSize',
  'maxLength',
  'seed',
];

function recipeTable({ recipe, steps, trainableParameters }: TrainingFacts): string {
  const usual = defaultRecipe();
  const keys = (Object.keys(recipe) as (keyof Recipe)[]).filter(
    (key) => always.includes(key) || JSON.stringify(recipe[key]) !== JSON.stringify(usual[key]),
  );
  const rows = keys.map((key) => `| ${words(key)} | ${words(recipe[key])} |`);
  const table = ['| setting | value |', '| --- | --- |', ...rows].join('\n');
  return `${trainableParameters} trained parameters, ${steps} steps. Settings that are not named have the studio's defaults.\n\n${table}`;
}

/** Formats the value of a table cell. */
function words(value: unknown): string {
  const text = Array.isArray(value) ? value.join(', ') : typeof value === 'string' ? value : JSON.stringify(value);
  return plain(text).replaceAll('|', '\\|');
}

/** Matches text of letters, digits and characters without a meaning in Markdown. */
const harmless = /^[\p{L}\p{M}\p{N} .,:;()+=/%'’~^{}"-]*$/u;

/**
 * Makes text from a file safe for the card: a name may be Markdown or HTML, a link or a picture that calls home. Text with
 * characters that could be such is set as code, in which nothing has a meaning.
 */
function plain(text: string): string {
  const line = shown(text, 10 * longestName);
  // A hub turns addresses into links; an underscore within a word is literal.
  const isHarmless = harmless.test(line.replace(/(?<=[\p{L}\p{N}])_+(?=[\p{L}\p{N}])/gu, '')) && !/:\/\/|www\./i.test(line);
  return isHarmless ? line : code(line);
}

function code(text: string): string {
  return `\`${shown(text, 10 * longestName).replaceAll('`', "'")}\``;
}

function evaluationText({ evaluation }: TrainingFacts): string {
  if (evaluation === null) return 'It was not evaluated on rows of its own.';
  const { rows, before, after } = evaluation;
  return `Loss on ${rows} rows it was not trained on: ${before.toFixed(4)} before, ${after.toFixed(4)} after.`;
}

function proofText(title: string, proof: Proof | null): string {
  if (proof === null) return 'None was asked for: nobody compared this with base and adapter.';
  const rows = proof.checks.map(
    ({ name, text, passed }) => `| ${name} | ${words(text)} | ${passed ? 'holds' : '**missed**'} |`,
  );
  return [
    `${title}, read back and compared with base and adapter at ${proof.positions} positions of ${proof.rows} rows:`,
    ['| check | found | |', '| --- | --- | --- |', ...rows].join('\n'),
  ].join('\n\n');
}

function howToRun({ format, name, quantization }: CardFacts): string {
  const python = (...lines: string[]) => ['```python', ...lines, '```'].join('\n');
  const shell = (...lines: string[]) => ['```sh', ...lines, '```'].join('\n');
  const folder = shown(basename(name), longestName);
  const here = JSON.stringify(folder);
  const word = shellWord(folder);
  const lower = shellWord(folder.toLowerCase());
  switch (format) {
    case 'peft':
      return python('from peft import AutoPeftModelForCausalLM', `model = AutoPeftModelForCausalLM.from_pretrained(${here})`);
    case 'mlx':
      return shell(`mlx_lm.chat --model BASE --adapter-path ${here}`);
    case 'safetensors':
      return python(
        'from transformers import pipeline',
        `chat = pipeline("text-generation", model=${here})`,
        'print(chat([{"role": "user", "content": "Hello"}])[0]["generated_text"][-1]["content"])',
      );
    case 'ollama':
      return shell(`ollama create ${lower} -f Modelfile`, `ollama run ${lower}`);
    case 'onnx-adapter':
      return python(
        'import onnxruntime_genai as og',
        `model = og.Model(${here})`,
        'adapters = og.Adapters(model)',
        `adapters.load(${JSON.stringify(`${folder}/adapter.onnx_adapter`)}, "tuned")`,
        'generator = og.Generator(model, og.GeneratorParams(model))',
        'generator.set_active_adapter(adapters, "tuned")',
      );
    case 'onnx':
      return [
        '```js',
        "import { env, pipeline } from '@huggingface/transformers';",
        "env.localModelPath = '.';",
        `const chat = await pipeline('text-generation', ${here}, { dtype: '${dtypes[quantization ?? 'f32'] ?? 'fp32'}' });`,
        '```',
      ].join('\n');
    case 'gguf':
    case 'lora-gguf':
      return shell(`llama-cli -m ${word} -cnv`);
  }
}

/** Quotes a name as one word of a shell, so that nothing in it is run. */
function shellWord(name: string): string {
  return /^[\w.+-]+$/.test(name) && !name.startsWith('-') ? name : `'${name.replaceAll("'", "'\\''")}'`;
}

/** Holds the names that transformers.js uses for the precisions of a file. */
const dtypes: Readonly<Partial<Record<Quantization, string>>> = { f32: 'fp32', f16: 'fp16', q8: 'q8', q4: 'q4' };
