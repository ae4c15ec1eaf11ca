/** Files that lost, gained or changed bytes are harmless or a Problem, whatever reads them: never a crash, never slow. */
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, test } from 'vitest';
import { readAdapter } from '../adapters/folder.ts';
import { readRows } from '../testing/read-rows.ts';
import { openTokenizer } from '../data/tokenizer.ts';
import { openModel } from '../models/open.ts';
import { Problem } from '../problem.ts';
import { threefry } from '../random.ts';

const golden = fileURLToPath(new URL('../golden/llama-tied', import.meta.url));
const tiny = fileURLToPath(new URL('../../resources/tiny/model', import.meta.url));
const work = mkdtempSync(join(tmpdir(), 'damage-'));
afterAll(() => rmSync(work, { recursive: true }));

function readWeights(path: string): void {
  const { weights } = openModel(path);
  for (const name of weights.names) weights.read(name);
}
async function encode(path: string): Promise<void> {
  const source = openModel(path).tokenizerSource;
  if (source) await openTokenizer(source).encode('hello {"a": 1}');
}
const model = openModel(join(golden, 'model'));

/** What is damaged, within its first bytes where the structure is, and who reads it. */
const files: readonly (readonly [folder: string, file: string, first: number, read: (folder: string) => unknown])[] = [
  [join(golden, 'model'), 'model.safetensors', 4000, readWeights],
  [join(golden, 'model'), 'config.json', Infinity, readWeights],
  [golden, 'model.gguf', 4000, (folder) => readWeights(join(folder, 'model.gguf'))],
  [tiny, 'tokenizer.json', Infinity, encode],
  [tiny, 'tokenizer_config.json', Infinity, encode],
  [join(golden, 'adapter'), 'adapter_model.safetensors', 3000, (folder) => readAdapter(folder, model)],
  [join(golden, 'adapter'), 'adapter_config.json', Infinity, (folder) => readAdapter(folder, model)],
  [
    golden,
    'rows.jsonl',
    Infinity,
    (folder) => readRows({ paths: [join(folder, 'rows.jsonl')] }, null, model.spec.vocabularySize),
  ],
];

test.each(files)('%s/%s', async (from, file, first, read) => {
  const folder = join(work, file);
  cpSync(from, folder, { recursive: true });
  const whole = readFileSync(join(folder, file));
  for (let round = 0; round < 500; round++) {
    const random = (choice: number, below: number) => Math.floor((threefry([round, choice], [0, 0])[0] / 2 ** 32) * below);
    const at = random(1, Math.min(first, whole.length));
    const piece = random(2, Math.min(first, whole.length));
    const damaged = Buffer.from(whole);
    damaged[at]! ^= 1 << random(3, 8);
    const kinds = [
      damaged,
      whole.subarray(0, at),
      Buffer.concat([whole.subarray(0, at), whole.subarray(piece, piece + random(4, 40)), whole.subarray(at)]),
    ];
    writeFileSync(join(folder, file), kinds[random(5, kinds.length)]!);
    try {
      await read(folder);
    } catch (error) {
      if (!(error instanceof Problem)) throw new Error(`round ${round}`, { cause: error });
    }
  }
});
