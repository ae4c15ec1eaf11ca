/** Prints the result of a run, and puts it into README.md. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const readme = join(import.meta.dirname, '..', 'README.md');
const marks = ['<!-- interop: written by `npm run interop -- --readme` -->', '<!-- /interop -->'];

const heading = `## In other programs

\`npm run interop\` exports a small random model of every family, with an adapter, and SmolLM2 with the adapter of the sample, and has other programs
read them: the same tokens for text with specials, scripts and digits, the same template, beginning and ends, and, where it says =, the same greedy answer
and logits within rounding. A number is how often a quantized export says the same token as base and adapter (random weights bear rounding worst); –: the
program has no way to compute the model.`;

/**
 * What a run has found: `rows` have a cell for every title of `columns`, `absent` are programs and why they are not there.
 * @typedef {{ columns: string[], rows: Map<string, Map<string, string>>, quantizations: object[] | null, absent: Map<string, string>,
 *   ownWays: Set<string>, failures: string[], programs: string[] }} Results
 */

/** @param {Results} results */
export function printTable(results) {
  for (const table of tablesOf(results)) console.log(`\n${aligned(table)}`);
  console.log(`\n${results.programs.join('; ')}`);
  if (results.ownWays.size > 0) console.log(ownWaysOf(results));
  for (const [name, why] of results.absent) console.log(`not tried: ${name} (${why})`);
  const cells = [...results.rows.values()].flatMap((row) => [...row.values()]).filter((cell) => cell !== '');
  console.log(`${cells.length} exports read, ${results.failures.length} differences`);
}

/** @param {Results} results */
export function writeReadme(results) {
  const text = readFileSync(readme, 'utf8');
  const [start, end] = marks.map((mark) => text.indexOf(mark));
  if (start < 0 || end < start) throw new Error(`README.md has no place for the table (${marks[0]})`);
  const tables = tablesOf(results).map((rows) => {
    const [head, ...rest] = rows.map((row) => `| ${row.join(' | ')} |`);
    return [head, `|${' --- |'.repeat(rows[0].length)}`, ...rest].join('\n');
  });
  const own = results.ownWays.size === 0 ? '' : ` ${ownWaysOf(results)}`;
  const said = [heading, ...tables, `Read by ${results.programs.join('; ')}.${own}`].join('\n\n');
  writeFileSync(readme, `${text.slice(0, start + marks[0].length)}\n\n${said}\n\n${text.slice(end)}`);
}

function ownWaysOf({ ownWays }) {
  return `onnxruntime-genai's own tokenizer cuts some texts otherwise: ${[...ownWays].join(', ')}.`;
}

/** Rows of cells, the head first. */
function tablesOf({ columns, rows, quantizations }) {
  const used = columns.filter((title) => [...rows.values()].some((row) => row.get(title) !== ''));
  const families = [
    ['family', ...used],
    ...[...rows].map(([name, row]) => [name, ...used.map((title) => row.get(title) ?? '')]),
  ];
  if (quantizations === null) return [families];
  const percent = (share) => `${(100 * share).toFixed(1)} %`;
  const types = quantizations.map(({ quantization, megabytes, agreements, right, questions, importance }) => [
    `${quantization}${importance ? ', with importance' : ''}`,
    `${megabytes.toFixed(0)} MB`,
    percent(agreements[1]),
    `${right} of ${questions}`,
    percent(agreements[0]),
  ]);
  return [families, [['GGUF', 'size', 'same token', 'right answers', 'same token, rows of 256'], ...types]];
}

function aligned(rows) {
  const widths = rows[0].map((_, column) => Math.max(...rows.map((row) => row[column].length)));
  return rows
    .map((row) =>
      row
        .map((cell, column) => cell.padEnd(widths[column]))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}
