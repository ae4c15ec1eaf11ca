/** Recognizes files that no reader accepts by their first bytes, and says what to do about each. */
import { isUtf8 } from 'node:buffer';
import { dataFileNames, dataFiles } from '../../data-files.ts';
import { Problem } from '../../problem.ts';

const unpack = 'Unpack it first.';
const asUtf8 = 'Save the file as UTF-8.';
const fromArrow = "Write it as Parquet: `pyarrow.parquet.write_table(table, 'rows.parquet')`, or `to_parquet` of datasets.";
const fromOffice = 'Save the table as CSV in UTF-8 with the program that made it.';

interface Kind {
  /** Matches the beginning of the file, one character for each byte. */
  readonly begins: RegExp;
  readonly what: string;
  readonly hint: string;
  /** Is true where the file is refused only inside another packed file. */
  readonly onlyPacked?: true;
  /** Is true where a table may begin with the same letters, as in a column `ORCID`; such a file is refused unless it is text. */
  readonly maybeText?: true;
}
const textOf = 'Give rows that say in text what is to be learned.';
const picture = { what: 'is a picture', hint: textOf };
const model = { hint: 'Give it as the model or the adapter, and rows as the data.' };

const kinds: readonly Kind[] = [
  { begins: /^\x1f\x8b/, what: 'is compressed with gzip', hint: unpack, onlyPacked: true },
  { begins: /^\x28\xb5\x2f\xfd/, what: 'is compressed with Zstandard', hint: unpack, onlyPacked: true },
  { begins: /^PK\x03\x04/, what: 'is a ZIP archive', hint: unpack, onlyPacked: true },
  { begins: /^PAR1/, what: 'is a Parquet file', hint: unpack, onlyPacked: true },
  { begins: /^PARE/, what: 'is an encrypted Parquet file', hint: 'Write it again without encryption.', maybeText: true },
  { begins: /^\xfd7zXZ/, what: 'is compressed with xz', hint: unpack },
  { begins: /^BZh/, what: 'is compressed with bzip2', hint: unpack, maybeText: true },
  { begins: /^\x04\x22\x4d\x18/, what: 'is compressed with LZ4', hint: unpack },
  { begins: /^7z\xbc\xaf/, what: 'is a 7-Zip archive', hint: unpack },
  { begins: /^Rar!\x1a/, what: 'is a RAR archive', hint: unpack },
  { begins: /^[^]{257}ustar/, what: 'is a tar archive', hint: unpack },
  { begins: /^ARROW1/, what: 'is an Arrow (Feather) file', hint: fromArrow },
  { begins: /^FEA1/, what: 'is a Feather file of the first version', hint: fromArrow, maybeText: true },
  { begins: /^\xff{4}/, what: 'is an Arrow stream', hint: fromArrow },
  { begins: /^ORC/, what: 'is an ORC file', hint: 'Write it as Parquet.', maybeText: true },
  { begins: /^Obj\x01/, what: 'is an Avro file', hint: 'Write it as Parquet or JSONL.' },
  { begins: /^\x89HDF/, what: 'is an HDF5 file', hint: 'Write it as Parquet or JSONL.' },
  { begins: /^\x93NUMPY/, what: 'is a NumPy array', hint: 'Write it as JSONL, with a row for each entry.' },
  { begins: /^SQLite format 3/, what: 'is a SQLite database', hint: 'Write the table as CSV or JSONL.' },
  { begins: /^\xd0\xcf\x11\xe0/, what: 'is a document of an office program', hint: fromOffice },
  { begins: /^\{\\rtf/, what: 'is a document in RTF', hint: 'Save its text as .txt first.' },
  { begins: /^%PDF-/, what: 'is a PDF document', hint: 'Save its text as .txt first.' },
  {
    begins: /^\x80[\x02-\x05]/,
    what: 'is a Python pickle',
    hint: 'Write it as JSONL: a pickle can run programs and is not opened.',
  },
  { begins: /^GGUF/, what: 'is a model or an adapter in GGUF', ...model, maybeText: true },
  // The length of a header of JSON stands before it, in eight bytes.
  { begins: /^[^]{4}\0{4}\s*\{/, what: 'is a safetensors file', ...model },
  // The fields of a message of protocol buffers: the version of the format, then the producer or what follows it.
  { begins: /^\x08[\x01-\x20][\x12\x1a\x22\x3a]/, what: 'is an ONNX model', ...model },
  { begins: /^\x89PNG|^\xff\xd8\xff|^GIF8[79]a|^RIFF[^]{4}WEBP|^(II\*\0|MM\0\*)/, ...picture },
  { begins: /^RIFF[^]{4}WAVE|^fLaC|^OggS|^ID3[\x02-\x04]/, what: 'is a recording', hint: textOf, maybeText: true },
  { begins: /^[^]{4}ftyp|^\x1a\x45\xdf\xa3/, what: 'is a video or a recording', hint: textOf, maybeText: true },
  { begins: /^\x7fELF/, what: 'is a program', hint: textOf },
  {
    begins: /^version https:\/\/git-lfs\.github\.com\/spec\//,
    what: 'is a pointer of Git LFS to a file that was not downloaded',
    hint: 'Run `git lfs pull` in its repository, or download the file itself.',
  },
  { begins: /^\xff\xfe\0\0|^\0\0\xfe\xff/, what: 'is UTF-32', hint: asUtf8 },
];

/** A text has no control characters but those of lines, tabs, pages and printers. */
const control = /[\0-\x07\x0e-\x1a\x1c-\x1f\x7f]/g;
/** A few such bytes are damage of single rows, which is reported where it is. */
const mostDamaged = 4;
const damagedShare = 1 / 64;

const binary = { what: 'is a binary file', hint: textOf };

/** Returns whether a file is no text at all. A file whose writing was interrupted may end with zeros. */
function isBinary(beginning: string): boolean {
  const text = beginning.replace(/\0+$/, '');
  return (text.match(control)?.length ?? 0) > mostDamaged + damagedShare * text.length;
}

/** Returns whether bytes are text, longer than what it may have in common with a file of another kind. */
function readsAsText(beginning: Buffer, text: string): boolean {
  // The last character may be cut.
  return text.length > 8 && !text.includes('\0') && isUtf8(beginning.subarray(0, Math.max(8, beginning.lastIndexOf(0x0a))));
}

const webPage = {
  what: 'is a web page, perhaps the message of an error',
  hint: 'Download the file itself, by the link to its raw content.',
};

const xml = {
  what: 'is XML, which servers also send as the message of an error',
  hint: 'Download the file itself, or convert its content to rows.',
};

/** Returns what a file that should hold rows is where it is HTML or XML. A text may be either. */
function markupKind(path: string, beginning: Buffer): typeof webPage | undefined {
  if (dataFiles.text.endings.some((ending) => path.toLowerCase().endsWith(ending))) return undefined;
  const text = beginning.toString('utf8', 0, 512);
  if (/^\ufeff?\s*<(!doctype html|html|head)\b/i.test(text)) return webPage;
  return /^\ufeff?\s*<(\?xml|Error>)/.test(text) ? xml : undefined;
}

/**
 * Throws a `Problem` where a file that begins with `beginning` is of a recognized kind that is not supported, or is no text
 * although it is not Parquet.
 */
export function refuseUnread(path: string, beginning: Buffer, isPacked: boolean): void {
  const text = beginning.toString('latin1');
  const known = kinds.find(
    ({ begins, onlyPacked = false, maybeText = false }) =>
      (isPacked || !onlyPacked) && begins.test(text) && !(maybeText && readsAsText(beginning, text)),
  );
  const found =
    known ??
    markupKind(path, beginning) ??
    // The reader of Parquet says how such a file is damaged.
    (!/\.parquet$/i.test(path) && !text.startsWith('PAR1') && isBinary(text) ? binary : undefined);
  if (found === undefined) return;
  const what = isPacked ? `holds a file that ${found.what}` : found.what;
  throw new Problem('data-invalid', `'${path}' ${what}, not ${dataFileNames}.`, found.hint);
}
