/** Files that no reader takes, known by their first bytes, and what to do about each. */
import { dataFileNames, dataFiles } from '../../data-files.ts';
import { Problem } from '../../problem.ts';

const unpack = 'Unpack it first.';
const convert = `Convert it to ${dataFiles.jsonl.name} first.`;
const asUtf8 = 'Save the file as UTF-8.';

const kinds: readonly (readonly [bytes: readonly number[], what: string, hint: string])[] = [
  [[0x1f, 0x8b], 'is compressed with gzip', unpack],
  [[0x28, 0xb5, 0x2f, 0xfd], 'is compressed with Zstandard', unpack],
  [[0xfd, 0x37, 0x7a, 0x58, 0x5a], 'is compressed with xz', unpack],
  [[0x42, 0x5a, 0x68], 'is compressed with bzip2', unpack],
  [[0x37, 0x7a, 0xbc, 0xaf], 'is a 7-Zip archive', unpack],
  [[0x50, 0x4b, 0x03, 0x04], 'is a ZIP archive', unpack],
  [[0x50, 0x41, 0x52, 0x31], 'is a Parquet file', convert],
  [[0x41, 0x52, 0x52, 0x4f, 0x57], 'is an Arrow file', convert],
  [[0xff, 0xfe], 'is UTF-16', asUtf8],
  [[0xfe, 0xff], 'is UTF-16', asUtf8],
  [[0x7b, 0x00], 'is UTF-16', asUtf8],
  [[0x00, 0x7b], 'is UTF-16', asUtf8],
];

/** Throws a Problem where a file that begins with `head` is of a kind that is known and not read. */
export function refuseUnread(path: string, head: Buffer): void {
  const [, what, hint] = kinds.find(([bytes]) => bytes.every((byte, i) => head[i] === byte)) ?? [];
  if (what !== undefined && hint !== undefined)
    throw new Problem('data-invalid', `'${path}' ${what}, not ${dataFileNames} in UTF-8.`, hint);
}
