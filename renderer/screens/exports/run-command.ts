/** Returns the commands that load a written export where it is meant to run. */
import type { ExportRecord, Quantization } from '../../../engine/contract.ts';

export interface RunCommand {
  /** Names the program. */
  readonly runner: string;
  readonly command: string;
}

export function runCommands(record: Pick<ExportRecord, 'format' | 'quantization' | 'path'>): RunCommand[] {
  const path = record.path;
  switch (record.format) {
    case 'gguf':
      return [
        { runner: 'llama.cpp', command: `llama-cli -m ${quoted(path)} -cnv` },
        {
          runner: 'Ollama',
          command: `printf 'FROM %s\\n' ${quoted(path)} > Modelfile && ollama create ${ollamaName(path)} -f Modelfile && ollama run ${ollamaName(path)}`,
        },
      ];
    case 'safetensors':
      return [
        {
          runner: 'transformers',
          command: `python -c ${quoted(`from transformers import pipeline; print(pipeline('text-generation', model=${text(path)})([{'role': 'user', 'content': 'Hello'}])[0]['generated_text'][-1]['content'])`)}`,
        },
        { runner: 'vLLM', command: `vllm serve ${quoted(path)}` },
      ];
    case 'onnx':
      return [
        {
          runner: 'transformers.js',
          command: `node --input-type=module -e ${quoted(
            `import { env, pipeline } from '@huggingface/transformers'; env.localModelPath = ${text(folderOf(path))}; env.allowRemoteModels = false; const chat = await pipeline('text-generation', ${text(nameOf(path))}, { dtype: '${dtypes[record.quantization ?? 'f32'] ?? 'fp32'}' }); console.log((await chat([{ role: 'user', content: 'Hello' }]))[0].generated_text.at(-1).content)`,
          )}`,
        },
        {
          runner: 'onnxruntime-genai',
          command: `python -c ${quoted(`import onnxruntime_genai as og; model = og.Model(${text(path)}); tokenizer = og.Tokenizer(model); generator = og.Generator(model, og.GeneratorParams(model)); generator.append_tokens(tokenizer.encode('Hello')); [generator.generate_next_token() for _ in range(64) if not generator.is_done()]; print(tokenizer.decode(generator.get_sequence(0)))`)}`,
        },
      ];
    case 'ollama':
      return [
        {
          runner: 'Ollama',
          command: `ollama create ${ollamaName(path)} -f ${quoted(`${path}/Modelfile`)} && ollama run ${ollamaName(path)}`,
        },
      ];
    case 'onnx-adapter':
      return [
        {
          runner: 'onnxruntime-genai',
          command: `python -c ${quoted(`import onnxruntime_genai as og; model = og.Model(${text(path)}); adapters = og.Adapters(model); adapters.load(${text(`${path}/adapter.onnx_adapter`)}, 'tuned'); tokenizer = og.Tokenizer(model); generator = og.Generator(model, og.GeneratorParams(model)); generator.set_active_adapter(adapters, 'tuned'); generator.append_tokens(tokenizer.encode('Hello')); [generator.generate_next_token() for _ in range(64) if not generator.is_done()]; print(tokenizer.decode(generator.get_sequence(0)))`)}`,
        },
      ];
    case 'lora-gguf':
      return [{ runner: 'llama.cpp', command: `llama-cli -m BASE.gguf --lora ${quoted(path)} -cnv` }];
    case 'mlx':
      return [{ runner: 'mlx-lm', command: `mlx_lm.chat --model BASE --adapter-path ${quoted(path)}` }];
    case 'peft':
      return [
        {
          runner: 'PEFT',
          command: `python -c ${quoted(`from peft import AutoPeftModelForCausalLM; model = AutoPeftModelForCausalLM.from_pretrained(${text(path)}); print(model.peft_config)`)}`,
        },
      ];
  }
}

/** Puts a text into single quotes where a shell would need them. */
export function quoted(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}

/** Returns the name that transformers.js has for the numbers of a file. */
const dtypes: Readonly<Partial<Record<Quantization, string>>> = { f32: 'fp32', f16: 'fp16', q8: 'q8', q4: 'q4' };

/** Quotes a text for Python and JavaScript, whose strings JSON's are too. */
function text(value: string): string {
  return JSON.stringify(value);
}

const nameOf = (path: string): string => path.split(/[\\/]/).findLast((part) => part !== '') ?? '';
const folderOf = (path: string): string => path.slice(0, path.lastIndexOf(nameOf(path)));

/** Returns a name that Ollama takes: lower-case letters, digits, dots, dashes and underscores. */
function ollamaName(path: string): string {
  return (
    nameOf(path)
      .replace(/\.gguf$/i, '')
      .toLowerCase()
      .replace(/[^a-z0-9._-]+/g, '-')
      .replace(/^[^a-z0-9]+/, '') || 'model'
  );
}
