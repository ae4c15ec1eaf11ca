/**
 * Writes and reads checkpoints. A checkpoint is a folder `checkpoints/step-000020/` with the adapter as PEFT stores it, Adam's
 * moments, and `state.json`, which lists every other file with its size and SHA-256, and says how the run is computed. The
 * order of rows and the schedule are functions of seed and step, so nothing else is needed to resume bit for bit.
 */
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { basename, join } from 'node:path';
import type { Adapter } from '../adapters/adapter.ts';
import { configName, weightsName } from '../adapters/find.ts';
import { readAdapter, writeAdapterFiles } from '../adapters/folder.ts';
import type { BaseModel } from '../adapters/peft.ts';
import { splitAdapter } from '../adapters/plain.ts';
import type { Checkpoint } from '../contract.ts';
import { fileIn, readText, writeFileAtomic } from '../formats/files.ts';
import { partialPrefix, publishFolder } from '../formats/folder.ts';
import { readSafetensors, readSafetensorsFloat32, SafetensorsWriter } from '../formats/safetensors.ts';
import { Problem } from '../problem.ts';
import type { AdamState } from './optimizer.ts';
import type { ComputePlan } from './compute-plan.ts';

/** Holds the state of a run after `step` optimizer steps. */
export interface TrainingState {
  readonly step: number;
  /** Gives the training time so far in seconds, over all sessions of the run. */
  readonly seconds: number;
  readonly adapter: Adapter;
  /**
   * Holds the form of the adapter that is written when its first values are taken out of the base (plain.ts); `adapter` when
   * left out.
   */
  readonly plain?: Adapter;
  readonly adam: AdamState;
  readonly plan: ComputePlan;
  /** Gives the identity of the run; checkpoints of earlier versions have none. */
  readonly run?: string;
}

/** Describes the content of state.json. */
interface StateFile {
  readonly version: 2;
  readonly step: number;
  readonly seconds: number;
  readonly updates: number;
  readonly plan: ComputePlan;
  readonly run?: string;
  /** Says that the stored adapter is the one of twice the rank that `splitAdapter` turns back into that of the run. */
  readonly isPlain?: true;
  readonly files: readonly { readonly path: string; readonly bytes: number; readonly sha256: string }[];
}

const stateName = 'state.json';
const momentsName = 'optimizer.safetensors';
const folderPattern = /^step-(\d{6,})$/;
const maxStateBytes = 1 << 20;

/**
 * Writes the checkpoint of this step whole or not at all, then removes all but the newest `keep` checkpoints up to it.
 * Checkpoints of another run are left alone. A checkpoint of this step that already exists, because the run was resumed from it
 * and has not made a step, stays as it is.
 */
export function saveCheckpoint(dir: string, state: TrainingState, keep: number): Checkpoint {
  const path = join(dir, `step-${String(state.step).padStart(6, '0')}`);
  if (isWhole(path) && !isOfAnother(path, state.run)) return describe(path, state.step);
  publishFolder(path, (folder) => {
    const { adapter, plain = adapter } = state;
    const { bytes, hash } = writeAdapterFiles(folder, plain);
    writeMoments(join(folder, momentsName), state.adam);
    const files = readdirSync(folder).map((name) =>
      name === weightsName ? { path: name, bytes, sha256: hash } : describeFile(folder, name),
    );
    const content: StateFile = {
      version: 2,
      step: state.step,
      seconds: state.seconds,
      updates: state.adam.updates,
      plan: state.plan,
      ...(state.run === undefined ? {} : { run: state.run }),
      ...(state.adapter.initial === null ? {} : { isPlain: true as const }),
      files,
    };
    writeFileAtomic(join(folder, stateName), JSON.stringify({ ...content, sha256: hashOf(content) }, null, 2) + '\n');
  });
  // Checkpoints beyond this step were skipped when the run began, and do not count among those to keep.
  const own = checkpointFolders(dir).filter((folder) => stepOf(folder) <= state.step && !isOfAnother(folder, state.run));
  for (const old of own.slice(keep)) rmSync(old, { recursive: true, force: true });
  return describe(path, state.step);
}

function describe(path: string, step: number): Checkpoint {
  const bytes = readdirSync(path).reduce((sum, name) => sum + statSync(join(path, name)).size, 0);
  return { step, path, bytes, createdAt: Date.now() };
}

interface Newest {
  readonly whole: string | null;
  /** Lists newer checkpoints that are passed over because they are damaged. */
  readonly damaged: readonly string[];
  readonly ofAnother: readonly string[];
}

/**
 * Finds the newest checkpoint that is whole, or null, and lists the newer ones that are damaged or belong to another run than
 * `run`. A checkpoint that names no run is taken to belong to this one. Unfinished folders of a killed writer are removed.
 */
export function newestCheckpoint(dir: string, run?: string): Newest {
  if (!existsSync(dir)) return { whole: null, damaged: [], ofAnother: [] };
  for (const name of readdirSync(dir))
    if (name.startsWith(partialPrefix)) rmSync(join(dir, name), { recursive: true, force: true });
  const folders = checkpointFolders(dir);
  const first = folders.findIndex((folder) => isWhole(folder) && !isOfAnother(folder, run));
  const passed = folders.slice(0, first < 0 ? folders.length : first);
  const [ofAnother, damaged] = [true, false].map((other) => passed.filter((folder) => isOfAnother(folder, run) === other));
  return { whole: folders[first] ?? null, damaged: damaged!, ofAnother: ofAnother! };
}

/** Reads a checkpoint that is whole. */
export function loadCheckpoint(path: string, base: BaseModel): TrainingState {
  const { step, seconds, updates, plan, run, isPlain } = readState(path);
  const stored = readAdapter(path, base);
  const adapter = isPlain === true ? splitAdapter(stored, base.spec) : stored;
  const [mean, square] = readMoments(join(path, momentsName), adapter.parameters.length);
  return { step, seconds, adapter, adam: { mean, square, updates }, plan, ...(run === undefined ? {} : { run }) };
}

/** Lists the folders of checkpoints, the newest first. */
function checkpointFolders(dir: string): string[] {
  return readdirSync(dir)
    .filter((name) => folderPattern.test(name))
    .map((name) => join(dir, name))
    .sort((a, b) => stepOf(b) - stepOf(a));
}

function stepOf(folder: string): number {
  return Number(folderPattern.exec(basename(folder))![1]);
}

/** Says whether a checkpoint names another run; a checkpoint that cannot be read names none. */
function isOfAnother(path: string, run: string | undefined): boolean {
  if (run === undefined) return false;
  try {
    return (readState(path).run ?? run) !== run;
  } catch {
    return false;
  }
}

function isWhole(path: string): boolean {
  try {
    return readState(path).files.every(({ path: name, bytes, sha256 }) => {
      const found = describeFile(path, name);
      return found.bytes === bytes && found.sha256 === sha256;
    });
  } catch {
    // A checkpoint that cannot be read for any reason is not used; an older one is tried.
    return false;
  }
}

function readState(path: string): StateFile {
  const { sha256, ...state } = JSON.parse(readText(join(path, stateName), maxStateBytes)) as Partial<StateFile> & {
    readonly sha256?: string;
  };
  const sound =
    state.version === 2 &&
    sha256 === hashOf(state) &&
    [state.step, state.seconds, state.updates].every((value) => typeof value === 'number' && value >= 0) &&
    Array.isArray(state.files) &&
    [momentsName, configName, weightsName].every((name) =>
      state.files!.some((file) => (file as { path?: unknown } | null)?.path === name),
    );
  if (!sound)
    throw new Problem(
      'checkpoint-damaged',
      `'${path}' has a ${stateName} that is not sound.`,
      'Resume from an older checkpoint.',
    );
  return state as StateFile;
}

/** Returns the SHA-256 of the content of state.json without the hash itself. */
function hashOf(content: Partial<StateFile>): string {
  return createHash('sha256').update(JSON.stringify(content)).digest('hex');
}

function describeFile(folder: string, name: string): StateFile['files'][number] {
  const path = fileIn(folder, name);
  if (path === null)
    throw new Problem('file-missing', `There is no '${name}' in '${folder}'.`, 'Resume from an older checkpoint.');
  const content = readFileSync(path);
  return { path: name, bytes: content.length, sha256: createHash('sha256').update(content).digest('hex') };
}

function writeMoments(path: string, { mean, square }: AdamState): void {
  // The names are those of torch's AdamW.
  const plan = ['exp_avg', 'exp_avg_sq'].map((name) => ({ name, type: 'F32' as const, shape: [mean.length] }));
  const writer = new SafetensorsWriter(path, plan);
  try {
    writer.write(mean);
    writer.write(square);
    writer.finish();
  } finally {
    writer.abort();
  }
}

function readMoments(path: string, length: number): [Float32Array, Float32Array] {
  const stored = readSafetensors(path).tensors;
  const read = (name: string) => {
    const tensor = stored.get(name);
    if (tensor?.shape.length !== 1 || tensor.shape[0] !== length)
      throw new Problem(
        'checkpoint-damaged',
        `${path}: '${name}' does not fit the adapter beside it.`,
        'Resume from an older checkpoint.',
      );
    return readSafetensorsFloat32(path, tensor);
  };
  return [read('exp_avg'), read('exp_avg_sq')];
}
