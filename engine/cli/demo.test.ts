/** The sample in the terminal, with the tiny model in place of the embedded one. */
import { cpSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { basename, join, resolve } from 'node:path';
import { expect, it } from 'vitest';
import type { EvaluationReport } from '../contract.ts';
import { embeddedModelPath, resourcesDir } from '../resources.ts';
import { commandFolder, startCommand } from '../testing/command-line.ts';

const { folder, dataDir } = commandFolder('cli-demo');

/** Copies the shipped files with a small model, few rows and two steps. */
function smallResources(): string {
  const shipped = join(folder, 'resources');
  const sample = join(shipped, 'samples', 'json-orders');
  mkdirSync(join(shipped, 'models'), { recursive: true });
  symlinkSync(resolve('resources/tiny/model'), join(shipped, 'models', basename(embeddedModelPath())), 'junction');
  cpSync(join(resourcesDir(), 'samples'), join(shipped, 'samples'), { recursive: true });
  for (const [name, rows] of Object.entries({ train: 8, validate: 2, test: 3 })) {
    const file = join(sample, `${name}.jsonl`);
    writeFileSync(file, readFileSync(file, 'utf8').split('\n').slice(0, rows).join('\n'));
  }
  const change = (name: string, more: object): void => {
    const file = join(sample, name);
    writeFileSync(file, JSON.stringify({ ...(JSON.parse(readFileSync(file, 'utf8')) as object), ...more }));
  };
  change('recipe.json', { maxSteps: 2, warmupSteps: 1, batchSize: 2 });
  change('evaluate.json', { maxTokens: 24 });
  return shipped;
}

const shipped = smallResources();

const env = { ...process.env, LOWRANK_RESOURCES: shipped };
const lowrank = (...args: readonly string[]) => startCommand(dataDir, args, env).ended;

it('the sample is trained and compared with the alternatives, with a verdict and a report', async () => {
  const file = join(folder, 'new', 'report.md');
  const { status, stdout, stderr } = await lowrank('demo', '--compare', '--report', file, '--json');
  expect(status, stderr).toBe(0);
  const { evaluation, report, sample } = JSON.parse(stdout) as {
    evaluation: { report: string };
    report: EvaluationReport;
    sample: { phase: string };
  };
  expect([sample.phase, evaluation.report]).toEqual(['done', file]);
  const names = report.contestants.map(({ name, trained }) => [name, trained]);
  expect(names.slice(0, 4)).toEqual(['base', 'few-shot=3', 'schema', 'constrained'].map((name) => [name, false]));
  expect(names.slice(4)).toEqual([[expect.any(String), true]]);
  expect(report.rows.length).toBe(15);
  expect(readFileSync(file, 'utf8')).toContain(report.verdict.sentence);
});

it('does not take options that exclude each other', async () => {
  expect(await lowrank('demo', '--compare', '--out', 'model.gguf')).toMatchObject({
    status: 2,
    stderr: expect.stringContaining('exclude each other') as string,
  });
  expect(await lowrank('demo', '--report', 'report.md')).toMatchObject({ status: 2 });
});
