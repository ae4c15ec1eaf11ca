/** Recognizes files that no reader accepts by their first bytes, and says what to do about each. */
import { dataFileNames, dataFiles } from '../../data-files.ts';
import { Problem } from '../../problem.ts';

const unpack = 'Unpack it first.';
const asUtf8 = 'Save the file as UTF-8.';
const fromArrow = "Write it as Parquet: `pyarrow.parquet.write_table(table, 'rows.parquet')`, or `to_parquet` of datasets.";
const fromOffice = 'Save the table as CSV in UTF-8 with the program that made it.';

interface Kind {
  readonly bytes: Buffer;
  /** Gives the position of the bytes, which is the beginning of the file by default. */
  readonly at?: number;
  readonly what: string;
  readonly hint: string;
  /** Is true where the file is refused only inside another packed file. */
  readonly onlyPacked?: true;
}
const bytes = (...values: number[]) => Buffer.from(values);

const kinds: readonly Kind[] = [
  { bytes: bytes(0x1f, 0x8b), what: 'is compressed with gzip', hint: unpack, onlyPacked: true },
  { bytes: bytes(0x28, 0xb5, 0x2f, 0xfd), what: 'is compressed with Zstandard', hint: unpack, onlyPacked: true },
  { bytes: Buffer.from('PK\x03\x04'), what: 'is a ZIP archive', hint: unpack, onlyPacked: true },
  { bytes: Buffer.from('PAR1'), what: 'is a Parquet file', hint: unpack, onlyPacked: true },
  { bytes: Buffer.from('PARE'), what: 'is an encrypted Parquet file', hint: 'Write it again without encryption.' },
  { bytes: bytes(0xfd, 0x37, 0x7a, 0x58, 0x5a), what: 'is compressed with xz', hint: unpack },
  { bytes: Buffer.from('BZh'), what: 'is compressed with bzip2', hint: unpack },
  { bytes: bytes(0x37, 0x7a, 0xbc, 0xaf), what: 'is a 7-Zip archive', hint: unpack },
  { bytes: Buffer.from('ARROW1'), what: 'is an Arrow (Feather) file', hint: fromArrow },
  { bytes: Buffer.from('FEA1'), what: 'is a Feather file of the first version', hint: fromArrow },
  { bytes: bytes(0xff, 0xff, 0xff, 0xff), what: 'is an Arrow stream', hint: fromArrow },
  { bytes: Buffer.from('ORC'), what: 'is an ORC file', hint: 'Write it as Parquet.' },
  { bytes: Buffer.from('Obj\x01'), what: 'is an Avro file', hint: 'Write it as Parquet or JSONL.' },
  { bytes: bytes(0xd0, 0xcf, 0x11, 0xe0), what: 'is a document of an office program', hint: fromOffice },
  { bytes: Buffer.from('SQLite format 3'), what: 'is a SQLite database', hint: 'Write the table as CSV or JSONL.' },
  { bytes: Buffer.from('%PDF-'), what: 'is a PDF document', hint: 'Save its text as .txt first.' },
  { bytes: bytes(0x89, 0x48, 0x44, 0x46), what: 'is an HDF5 file', hint: 'Write it as Parquet or JSONL.' },
  {
    bytes: bytes(0x80, 0x04, 0x95),
    what: 'is a Python pickle',
    hint: 'Write it as JSONL: a pickle can run programs and is not opened.',
  },
  { bytes: Buffer.from('ustar'), at: 257, what: 'is a tar archive', hint: unpack },
  {
    bytes: Buffer.from('version https://git-lfs.github.com/spec/'),
    what: 'is a pointer of Git LFS to a file that was not downloaded',
    hint: 'Run `git lfs pull` in its repository, or download the file itself.',
  },
  { bytes: bytes(0xff, 0xfe, 0, 0), what: 'is UTF-32', hint: asUtf8 },
  { bytes: bytes(0, 0, 0xfe, 0xff), what: 'is UTF-32', hint: asUtf8 },
];

const webPage = {
  what: 'is a web page, perhaps the message of an error',
  hint: 'Download the file itself, by the link to its raw content.',
};

/** Returns whether a file that should hold rows is a page of HTML. A text may be one. */
function isWebPage(path: string, beginning: Buffer): boolean {
  const isText = dataFiles.text.endings.some((ending) => path.toLowerCase().endsWith(ending));
  return !isText && /^\ufeff?\s*<(!doctype html|html|head)\b/i.test(beginning.toString('utf8', 0, 512));
}

/** Throws a `Problem` where a file that begins with `beginning` is of a recognized kind that is not supported. */
export function refuseUnread(path: string, beginning: Buffer, isPacked: boolean): void {
  const known = kinds.find(
    ({ bytes, at = 0, onlyPacked = false }) =>
      (isPacked || !onlyPacked) && beginning.subarray(at, at + bytes.length).equals(bytes),
  );
  const found = known ?? (isWebPage(path, beginning) ? webPage : undefined);
  if (found === undefined) return;
  const what = isPacked ? `holds a file that ${found.what}` : found.what;
  throw new Problem('data-invalid', `'${path}' ${what}, not ${dataFileNames}.`, found.hint);
}
