/** Makes a database for tests, with things in every table. */
import Database from 'better-sqlite3';
import type { DatasetVersion, Run, StepMetrics } from '../contract.ts';
import { defaultRecipe } from '../recipe.ts';
import type { RunJob } from '../store/runs.ts';
import { openStore, type Store } from '../store/open.ts';

export const job: RunJob = {
  data: { paths: ['/rows.jsonl'] },
  adapterPath: null,
  device: 'auto',
  skipBadRows: false,
};

export const runOf = (id: string, change: Partial<Run> = {}): Run => ({
  id,
  projectId: 'p',
  name: `Run ${id}`,
  colour: 3,
  state: 'done',
  phase: '',
  modelId: 'm',
  modelName: 'Tiny',
  modelPath: '/models/tiny',
  datasetId: 'd',
  datasetName: 'rows',
  versionId: null,
  version: null,
  recipe: defaultRecipe(),
  device: 'cpu',
  out: `/runs/${id}`,
  step: 0,
  totalSteps: 10,
  secondsLeft: null,
  seconds: 0,
  lastLoss: null,
  measures: {},
  trainableParameters: 0,
  peakMemory: 0,
  problem: null,
  notes: '',
  tags: [],
  createdAt: 5,
  finishedAt: null,
  ...change,
});

/** Returns a first version of a data set. */
export const versionOf = (datasetId: string, paths: readonly string[], evalPaths: readonly string[] = []): DatasetVersion => ({
  ...{ id: `${datasetId}-v1`, datasetId, sequence: 1, mapping: null, mix: null, changes: [], parent: null, format: 'messages' },
  files: [
    ...paths.map((path) => ({ path, split: 'train', bytes: 9, sha256: 'h' }) as const),
    ...evalPaths.map((path) => ({ path, split: 'eval', bytes: 9, sha256: 'h' }) as const),
  ],
  ...{ trainRows: 3, evalRows: evalPaths.length, hash: 'h', createdAt: 3 },
});

export const stepOf = (step: number, loss: number): StepMetrics => ({
  step,
  loss,
  learningRate: 1e-4,
  gradientNorm: 2,
  supervisedTokens: 10,
  tokens: 12,
  seconds: 0.5,
  memory: 100 + step,
  epoch: 0,
});

/** Opens the database of a folder and puts the given number of runs and steps into it, and one of everything else. */
export function filledStore(folder: string, { runs, steps }: { runs: number; steps: number }): Store {
  const store = openStore(folder);
  store.transaction(() => {
    store.projects.insert({ id: 'p', name: 'Project', createdAt: 1 });
    store.models.put({
      ...{ id: 'm', projectId: 'p', path: '/models/tiny', createdAt: 2, embedded: false },
      ...{ family: 'llama', name: 'Tiny', format: 'hub', parameters: 1, layers: 1, hiddenSize: 8, vocabularySize: 16 },
      ...{ contextLength: 32, weightType: 'F32', bytes: 64, linears: [], hasTokenizer: true, hasChatTemplate: true },
      ...{ licence: null, hash: 'h', acceptFields: [], notes: [] },
    });
    store.datasets.insert({
      ...{ id: 'd', projectId: 'p', name: 'rows', createdAt: 3 },
      version: versionOf('d', ['/rows.jsonl']),
    });
    for (let number = 1; number <= runs; number++) {
      const id = `r${number}`;
      store.runs.insert(runOf(id), job);
      store.metrics.put(
        id,
        Array.from({ length: steps }, (_, index) => stepOf(index + 1, 1 / (index + 1))),
        [{ step: steps, evalLoss: 0.5 }],
      );
      store.samples.put(id, { step: 1, prompt: 0, promptText: 'Say it', expected: 'it', text: 'it', verdict: null });
      store.checkpoints.put(id, { step: steps, path: `/c/${id}`, bytes: 1, createdAt: 4 }, 2);
      store.log.add(id, { at: 5, text: `Run ${id} has ended.` });
    }
    store.adapters.put({
      ...{
        id: 'a',
        projectId: 'p',
        name: 'Adapter',
        path: '/a',
        runId: runs === 0 ? null : 'r1',
        runName: 'Run r1',
        step: 1,
        modelId: 'm',
      },
      ...{ modelName: 'Tiny', modelPath: '/models/tiny', datasetName: 'rows', rank: 4, alpha: 8, targetModules: ['q_proj'] },
      ...{ parameters: 1, bytes: 1, hash: 'h', configHash: 'c', evalLoss: 0.5, tag: null, createdAt: 6 },
    });
    store.exports.put({
      ...{ id: 'e', projectId: 'p', adapterId: 'a', adapterName: 'Adapter', modelName: 'Tiny', format: 'gguf' },
      ...{ quantization: 'f32', path: '/e', bytes: 1, state: 'done', proof: null, files: [], problem: null, createdAt: 7 },
    });
    store.memory.put('/models/tiny', { recipe: { rank: 4 }, longest: 12, bytes: 1000, measuredBy: 'Run r1' });
  });
  return store;
}

/** Gives the log of run r1 to run r2, and leaves the index as it was: only the full check sees that. */
export function moveLogUnindexed(path: string): void {
  const db = new Database(path);
  const define = (sql: string): void => {
    db.unsafeMode(true);
    db.pragma('writable_schema = ON');
    db.prepare("UPDATE sqlite_schema SET sql = ? WHERE name = 'log_lines_of_run'").run(sql);
    db.exec('PRAGMA writable_schema = RESET');
  };
  define('CREATE INDEX log_lines_of_run ON log_lines (run_id, sequence) WHERE at < 0');
  db.exec("UPDATE log_lines SET run_id = 'r2' WHERE run_id = 'r1'");
  define('CREATE INDEX log_lines_of_run ON log_lines (run_id, sequence)');
  db.close();
}
