/** The command that loads a written export where it is meant to run. */
import type { ExportRecord } from '../../../engine/contract.ts';

export interface RunCommand {
  /** Name of the program. */
  readonly runner: string;
  readonly command: string;
}

export function runCommands(record: Pick<ExportRecord, 'format' | 'path'>): RunCommand[] {
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
          command: `python -c ${quoted(`from transformers import pipeline; print(pipeline('text-generation', model=${python(path)})([{'role': 'user', 'content': 'Hello'}])[0]['generated_text'][-1]['content'])`)}`,
        },
        { runner: 'vLLM', command: `vllm serve ${quoted(path)}` },
      ];
    case 'peft':
      return [
        {
          runner: 'PEFT',
          command: `python -c ${quoted(`from peft import AutoPeftModelForCausalLM; model = AutoPeftModelForCausalLM.from_pretrained(${python(path)}); print(model.peft_config)`)}`,
        },
      ];
  }
}

/** In single quotes where a shell would need them. */
export function quoted(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
}

/** JSON's strings are Python's too. */
function python(text: string): string {
  return JSON.stringify(text);
}

/** Ollama takes lower-case letters, digits, dots, dashes and underscores. */
function ollamaName(path: string): string {
  const file = path.split(/[\\/]/).findLast((part) => part !== '') ?? 'model';
  return (
    file
      .replace(/\.gguf$/i, '')
      .toLowerCase()
      .replace(/[^a-z0-9._-]+/g, '-')
      .replace(/^[^a-z0-9]+/, '') || 'model'
  );
}
