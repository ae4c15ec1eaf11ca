/** Reads the mix of a command line: `--mix FILE=2 --mix FILE=0.5,most=1000,eval=FILE`. */
import { resolve } from 'node:path';
import type { AskedMix, AskedPart, ColumnMapping, DataFiles, MixedData } from '../contract.ts';
import { mostRepeat } from '../mixing.ts';
import { type Arguments, UsageError } from './command.ts';

/** Returns the rows that `--data` or `--mix` name. */
export function dataOf(args: Arguments, evalPaths: readonly string[] = []): DataFiles | MixedData {
  const asked = args.list('mix');
  if (asked.length === 0) {
    if (args.text('mix-seed') !== undefined) throw new UsageError('--mix-seed needs --mix.');
    return { ...args.files('data'), evalPaths };
  }
  if (args.list('data').length > 0) throw new UsageError('Give either --data or --mix.');
  const seed = args.number('mix-seed', 0, { min: 0, integer: true });
  return { mix: readMix(asked, { evalPaths, mapping: args.mapping(), seed }) };
}

/** Returns the mix that options ask for. Files to evaluate on that are of no part are parts that are only evaluated. */
function readMix(
  asked: readonly string[],
  { evalPaths, mapping, seed }: { evalPaths: readonly string[]; mapping: ColumnMapping | undefined; seed: number },
): AskedMix {
  const parts = asked.map((text) => readPart(text, mapping));
  const evaluated = evalPaths.map((path): AskedPart => ({
    repeat: 0,
    data: { paths: [], evalPaths: [path], ...mapped(mapping) },
  }));
  return { parts: [...parts, ...evaluated], seed };
}

const mapped = (mapping: ColumnMapping | undefined) => (mapping === undefined ? {} : { mapping });

function readPart(text: string, mapping: ColumnMapping | undefined): AskedPart {
  // From the end, because a path may have any of these signs.
  let rest = text;
  let most: number | undefined;
  const evalPaths: string[] = [];
  for (;;) {
    const [all, name, value] = /,(most|eval)=([^,]*)$/.exec(rest) ?? [];
    if (all === undefined) break;
    rest = rest.slice(0, -all.length);
    if (name === 'eval') evalPaths.unshift(resolve(value!));
    else most = Number(value);
  }
  const [times, number] = /=([\d.]+)$/.exec(rest) ?? [];
  const file = times === undefined ? rest : rest.slice(0, -times.length);
  const repeat = number === undefined ? 1 : Number(number);
  if (file === '' || !(repeat >= 0 && repeat <= mostRepeat) || (most !== undefined && !(Number.isInteger(most) && most >= 1)))
    throw new UsageError(
      `--mix takes a file with how often its rows are there, from 0 to ${mostRepeat}, and perhaps the most rows of it and a file to evaluate on: FILE=0.5,most=1000,eval=FILE; not '${text}'.`,
    );
  return {
    data: { paths: [resolve(file)], ...(evalPaths.length > 0 && { evalPaths }), ...mapped(mapping) },
    repeat,
    ...(most !== undefined && { most }),
  };
}
