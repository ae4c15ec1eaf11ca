/** Job `inspect`: what a path is (model, adapter or data set), whether it is sound, and where it came from. */
import { existsSync, statSync } from 'node:fs';
import { join, resolve } from 'node:path';
import type { Inspection, JobSpec } from '../contract.ts';
import { readRecords } from '../data/records.ts';
import { detectFormat } from '../data/rows.ts';
import { readText } from '../formats/files.ts';
import { readSafetensors } from '../formats/safetensors.ts';
import { openModel } from '../models/open.ts';
import { Problem } from '../problem.ts';
import { parseAdapterConfig } from '../training/lora/config.ts';
import { readAdapter } from '../training/lora/folder.ts';
import { sizeOf } from './export.ts';

export async function runInspect(spec: Extract<JobSpec, { kind: 'inspect' }>): Promise<Inspection> {
  const path = resolve(spec.path);
  if (!existsSync(path)) throw new Problem('file-missing', `There is nothing at '${path}'.`, 'Check the path.');
  const folder = statSync(path).isDirectory();
  if (folder && existsSync(join(path, 'adapter_config.json'))) return inspectAdapter(path);
  if (!folder && /\.(jsonl|json|ndjson)$/i.test(path) && !path.endsWith('config.json')) return inspectData(path);
  return inspectModel(path);
}

function inspectModel(path: string): Inspection {
  const { info, spec } = openModel(path);
  const summary = [
    ['Name', info.name],
    ['Family', info.family],
    ['Format', info.format === 'gguf' ? 'GGUF' : 'Hub folder, safetensors'],
    ['Parameters', String(info.parameters)],
    ['Layers', String(info.layers)],
    ['Hidden size', String(info.hiddenSize)],
    ['Heads', `${spec.heads}, ${spec.keyValueHeads} for keys and values, ${spec.headDim} wide`],
    ['Vocabulary', String(info.vocabularySize)],
    ['Context', String(info.contextLength)],
    ['Weights', `${info.weightType}, ${info.bytes} bytes`],
    ['Tokenizer', info.hasTokenizer ? 'yes' : 'no'],
    ['Chat template', info.hasChatTemplate ? 'yes' : 'no'],
    ['Licence', info.licence ?? 'not stated'],
    ['SHA-256', info.hash],
  ] as const;
  return { kind: 'model', path, sound: true, summary: lines(summary), model: { ...info } };
}

function inspectAdapter(path: string): Inspection {
  const configPath = join(path, 'adapter_config.json');
  const config = parseAdapterConfig(readText(configPath, 1 << 20), configPath);
  const tensors = [...readSafetensors(join(path, 'adapter_model.safetensors')).tensors.values()];
  const parameters = tensors.reduce((sum, { shape }) => sum + shape.reduce((product, extent) => product * extent, 1), 0);
  // The base may be a name on a hub; only one that lies here can be checked against.
  const base = config.base !== null && existsSync(config.base) ? config.base : null;
  if (base !== null) readAdapter(path, openModel(base).spec);
  const summary = [
    ['Kind', 'LoRA adapter (PEFT)'],
    ['Base', config.base ?? 'not stated'],
    ['Fits its base', base === null ? 'the base is not here' : 'yes'],
    ['Rank', String(config.rank)],
    ['Alpha', String(config.alpha)],
    ['Trained matrices', [config.targetModules].flat().join(', ')],
    ['Layers', config.layers === 'all' ? 'all' : config.layers.join(', ')],
    ['Parameters', String(parameters)],
    ['Tensors', String(tensors.length)],
    ['Bytes', String(sizeOf(path))],
  ] as const;
  return { kind: 'adapter', path, sound: true, summary: lines(summary) };
}

async function inspectData(path: string): Promise<Inspection> {
  let rows = 0;
  let format: string | null = null;
  const problems: string[] = [];
  let bad = 0;
  for await (const record of readRecords(path)) {
    rows++;
    if ('value' in record) format ??= detectFormat(record.value);
    else if (++bad <= 5) problems.push(`line ${record.line}: ${record.problem.message}`);
  }
  if (rows === 0) throw new Problem('data-empty', `There is no row in '${path}'.`, 'Give a file with one JSON object a line.');
  const summary: (readonly [string, string])[] = [
    ['Kind', 'data set'],
    ['Format', format ?? 'unknown'],
    ['Rows', String(rows)],
    ['Rows that cannot be read', String(bad)],
    ...problems.map((problem) => ['Problem', problem] as const),
    ['Bytes', String(statSync(path).size)],
  ];
  return { kind: 'dataset', path, sound: bad === 0 && format !== null, summary: lines(summary) };
}

function lines(entries: readonly (readonly [string, string])[]): { label: string; value: string }[] {
  return entries.map(([label, value]) => ({ label, value }));
}
