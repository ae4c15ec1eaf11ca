/**
 * Decides whether a resumed run is still the same run: by the hashes of the files it learns from, and of the tokens they
 * become.
 */
import { createHash } from 'node:crypto';
import { createReadStream, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { adapterFile } from '../adapters/find.ts';
import { adapterConfigBytes } from '../adapters/folder.ts';
import type { AdapterHashes } from '../contract.ts';
import type { Tokenizer } from '../data/tokenizer.ts';
import type { OnProgress } from '../export/progress.ts';
import { hashOfFiles } from '../models/hash.ts';
import type { OpenModel } from '../models/open.ts';
import type { TokenizerSource } from '../models/tokenizer-source.ts';
import { Problem } from '../problem.ts';
import { inTurns, sequencesOf, type Example } from '../training/examples.ts';
import type { BaseRecord, DataRecord, RunRecord } from './run-folder.ts';

export function baseRecord({ path, format, info, spec, files }: OpenModel, cacheDir: string): BaseRecord {
  return {
    ...{ path, name: info.name, family: spec.family, hash: hashOfFiles(files, cacheDir) },
    configHash: format === 'hub' ? sha256(readFileSync(join(path, 'config.json'))) : null,
  };
}

/**
 * Hashes the files of a tokenizer and the end tokens of generation_config.json; returns null for a tokenizer that is not one of
 * a Hub folder. The chat template and config.json have hashes of their own.
 */
export function tokenizerHash(source: TokenizerSource | null): string | null {
  if (source?.kind !== 'hub') return null;
  const { chat_template: _, ...config } = source.tokenizerConfig;
  const ends = source.generationConfig?.['eos_token_id'] ?? null;
  const { tokenizerJson, specialTokensMap = null, addedTokens = null } = source;
  return sha256(JSON.stringify([sha256(tokenizerJson), config, specialTokensMap, addedTokens, ends]));
}

export function templateHash(tokenizer: Tokenizer | null): string | null {
  const template = tokenizer?.chatTemplate;
  return template ? sha256(template) : null;
}

/**
 * Hashes token ids and labels in the order of the examples, and the part of each sequence that is not the whole of its example.
 */
export async function tokensHash(examples: readonly Example[], onTurn: OnProgress): Promise<string> {
  const hash = createHash('sha256');
  for await (const some of inTurns(examples, onTurn))
    for (const { inputIds, labels, part } of sequencesOf(some)) {
      if (part !== 'whole') hash.update(part);
      hash.update(Int32Array.of(inputIds.length));
      for (const values of [inputIds, labels]) hash.update(values);
    }
  return hash.digest('hex');
}

/**
 * Returns the identity that checkpoints name their run by, from its start, model and data. It is the same in every session,
 * also of runs of earlier versions, whose checkpoints name no run.
 */
export function runIdentity({ startedAt, base, data }: Pick<RunRecord, 'startedAt' | 'base' | 'data'>): string {
  return sha256(JSON.stringify([startedAt, base.hash, data.hash]));
}

type StartRecord = NonNullable<RunRecord['startedFrom']>;

/** Records the adapter that a run starts from. */
export function startRecord(path: string, { hash, configHash }: AdapterHashes): StartRecord {
  return { path, hash, configHash };
}

async function isSameStart(earlier: StartRecord, now: StartRecord): Promise<boolean> {
  if (earlier.configHash !== undefined) return earlier.hash === now.hash && earlier.configHash === now.configHash;
  // Runs of earlier versions have one hash over both files.
  const hash = createHash('sha256').update(adapterConfigBytes(now.path) ?? '');
  for await (const chunk of createReadStream(adapterFile(now.path).weights)) hash.update(chunk as Buffer);
  return earlier.hash === hash.digest('hex');
}

function sha256(content: string | Uint8Array): string {
  return createHash('sha256').update(content).digest('hex');
}

/**
 * Refuses to resume a run when anything is different from when it began. What an earlier version did not record is taken to be
 * the same.
 */
export async function requireSameRun(earlier: RunRecord, now: RunRecord): Promise<void> {
  const [start, nowStart] = [earlier.startedFrom, now.startedFrom];
  const parts: readonly (readonly [string, string | null | undefined, string | null | undefined])[] = [
    ['model', earlier.base.hash, now.base.hash],
    ['config.json of the model', earlier.base.configHash, now.base.configHash],
    ['tokenizer', earlier.tokenizerHash, now.tokenizerHash],
    ['chat template', earlier.templateHash, now.templateHash],
    ['data', earlier.data.hash, now.data.hash],
    [
      'first adapter',
      start && 'the same',
      nowStart && (start !== null && (await isSameStart(start, nowStart)) ? 'the same' : 'another'),
    ],
    // Without evaluation rows the run continues as well, and its record keeps what it was evaluated on.
    ['evaluation data', earlier.evaluation?.hash, now.evaluation?.hash],
  ];
  const other = parts.find(([, before, after]) => before !== undefined && before !== after);
  if (other !== undefined) {
    const [what, before, after] = other;
    const message =
      before === null
        ? `The run was started without ${what}.`
        : after === null
          ? `The run was started with ${what}, which is now missing.`
          : `The ${what} has changed since the run was started.`;
    throw new Problem(
      'request-invalid',
      message,
      'Use the same model, data and adapter, or start a new run in another folder.',
    );
  }
  requireSameTokens(earlier, earlier.data, now.data);
  if (earlier.evaluation !== null && now.evaluation !== null) requireSameTokens(earlier, earlier.evaluation, now.evaluation);
}

/**
 * Refuses files that become other tokens than before, which happens with another version of the studio, or when other rows are
 * left out.
 */
function requireSameTokens({ versions }: RunRecord, before: DataRecord, now: DataRecord): void {
  if (before.tokensHash === undefined || before.tokensHash === now.tokensHash) return;
  const what =
    before.rows === now.rows
      ? `different tokens than when the run was started with Lowrank Studio ${versions.studio}`
      : `${now.rows} rows instead of the ${before.rows} when the run was started`;
  throw new Problem(
    'request-invalid',
    `The same files now give ${what}: ${now.paths.join(', ')}.`,
    'Skip bad rows and hold rows back as before, use the same version of the studio, or start a new run from the adapter of the last checkpoint.',
  );
}
