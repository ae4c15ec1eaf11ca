/** Says where the jobs of a data folder keep the tokens of rows, and what decides these tokens besides the rows. */
import { createHash, type Hash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { keptRowsFolder } from '../data/kept-rows.ts';
import type { RowCache } from '../data/row.ts';
import type { OpenModel } from '../models/open.ts';
import type { TokenizerSource } from '../models/tokenizer-source.ts';
import { versions } from '../versions.ts';

/** Returns the cache of the tokens that rows become with the tokenizer and the chat template of a model. */
export function tokenCache({ tokenizerSource }: Pick<OpenModel, 'tokenizerSource'>, cacheDir: string): RowCache {
  const hash = createHash('sha256').update(JSON.stringify([versions.studio, versions.node, ownCode()]));
  addTokenizer(hash, tokenizerSource);
  return { folder: keptRowsFolder(cacheDir), decidedBy: hash.digest('hex') };
}

function addTokenizer(hash: Hash, source: TokenizerSource | null): void {
  if (source === null) return;
  if (source.kind === 'hub') {
    const { tokenizerJson, ...files } = source;
    hash.update(tokenizerJson).update(JSON.stringify(files));
    return;
  }
  for (const [name, { value, ...type }] of source.metadata) {
    hash.update(JSON.stringify([name, type]));
    if (ArrayBuffer.isView(value)) hash.update(value);
    else hash.update(JSON.stringify(value, (_, one: unknown) => (typeof one === 'bigint' ? String(one) : one)));
  }
}

let code: string | null = null;

/**
 * Hashes our own code that turns rows into tokens, and the list of packages it uses. Tokens made by any other version of it are
 * not used.
 */
function ownCode(): string {
  if (code !== null) return code;
  const engine = join(import.meta.dirname, '..');
  const data = readdirSync(join(engine, 'data'), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts') && !name.endsWith('.test.ts'))
    .map((name) => join('data', name))
    .toSorted();
  const hash = createHash('sha256');
  const beside = ['labels.ts', 'mapped-text.ts', 'unseen-characters.ts', '../package.json'];
  for (const name of [...data, ...beside]) hash.update(name).update(readFileSync(join(engine, name)));
  return (code = hash.digest('hex'));
}
