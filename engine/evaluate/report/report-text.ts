/** Writes a report as Markdown and its rows as CSV. */
import type { EvaluationReport, MeasuredMean, ReportedContestant, SeedSpread } from '../../contract.ts';
import { infoOf, type MeasureName } from '../../measures.ts';

/** Writes the verdict, the contestants and the pairs as Markdown. */
export function reportMarkdown(report: EvaluationReport): string {
  const { contestants, pairs, power, verdict, guards, looks, seeds, general, notes, hashes } = report;
  const measures = [...new Set(contestants.flatMap(({ measures: own }) => Object.keys(own) as MeasureName[]))];
  const rows = contestants.map(({ name, measures: own, promptTokens, answerTokens, secondsPerAnswer, breakEvenAnswers }) => [
    ...[name, ...measures.map((measure) => meanText(own[measure]))],
    ...[promptTokens?.toFixed(0), answerTokens?.toFixed(0), secondsPerAnswer?.toFixed(2), breakEvenAnswers?.toString()],
  ]);
  const compared = pairs.map((pair) => [
    ...[pair.a, pair.b, pair.measure, `${pair.n}`],
    ...[pair.both, pair.onlyA, pair.onlyB, pair.neither].map((count) => count?.toString()),
    `${signed(pair.difference)} (${signed(pair.low)} to ${signed(pair.high)})`,
    pText(pair.corrected),
  ]);
  return [
    '# Evaluation',
    `**${escaped(verdict.sentence)}**`,
    table(['contestant', ...measures, 'prompt tokens', 'answer tokens', 'seconds per answer', 'pays after answers'], rows),
    measures.map((measure) => `- \`${measure}\`: ${infoOf(measure).label}`).join('\n'),
    ...(pairs.length === 0
      ? []
      : [
          '## Pairs',
          table(
            ['A', 'B', 'measure', 'rows', 'both', 'only A', 'only B', 'neither', 'A less B (95 %)', 'p, corrected'],
            compared,
          ),
        ]),
    ...listOf('', power),
    ...costs(contestants),
    ...listOf('## Before you believe it', [
      ...(guards?.sentences ?? []),
      ...(looks === null || looks === 0
        ? []
        : [`These rows were evaluated ${looks} ${looks === 1 ? 'time' : 'times'} before.`]),
      ...seeds.flatMap(spreadSentences),
    ]),
    ...listOf('## What it broke', general?.broke.map(({ sentence }) => sentence) ?? []),
    ...listOf('## Notes', notes),
    '## Hashes',
    Object.entries(hashes)
      .map(([of, hash]) => `- ${escaped(of)}: \`${hash}\``)
      .join('\n'),
  ]
    .map((part) => `${part}\n`)
    .join('\n');
}

function listOf(head: string, sentences: readonly string[]): string[] {
  if (sentences.length === 0) return [];
  const items = sentences.map((sentence) => `- ${escaped(sentence)}`).join('\n');
  return head === '' ? [items] : [head, items];
}

/** Writes what the trainings have cost; nothing where nobody was trained. */
function costs(contestants: readonly ReportedContestant[]): string[] {
  const rows = contestants.flatMap(({ name, training }) =>
    training === null
      ? []
      : [[name, training.seconds?.toFixed(0), training.parameters?.toString(), `${training.bytes}`, training.seed?.toString()]],
  );
  const head = ['adapter', 'seconds of training', 'trainable parameters', 'bytes', 'seed'];
  return rows.length === 0 ? [] : ['## Costs', table(head, rows)];
}

/** Says how far adapters lie apart that differ in their seed alone. */
export function spreadSentences({ contestants, measures }: SeedSpread): string[] {
  const names = contestants.join(', ');
  return Object.entries(measures).map(
    ([measure, { least, most }]) =>
      `${names} differ in their seed alone: ${measure} from ${least.toFixed(4)} to ${most.toFixed(4)}.`,
  );
}

/** Writes the rows as CSV (RFC 4180), a column per measure. */
export function reportCsv({ rows }: EvaluationReport): string {
  const measures = [...new Set(rows.flatMap(({ scores }) => Object.keys(scores) as MeasureName[]))];
  const head = ['row', 'source', 'contestant', 'answer', ...measures, 'prompt tokens', 'answer tokens', 'seconds'];
  const lines = rows.map(({ row, source, contestant, answer, scores, promptTokens, answerTokens, seconds }) => [
    ...[row, source, contestant, answer, ...measures.map((measure) => scores[measure])],
    ...[promptTokens, answerTokens, seconds],
  ]);
  return [head, ...lines].map((line) => `${line.map(quoted).join(',')}\r\n`).join('');
}

function quoted(value: string | number | null | undefined): string {
  const text = String(value ?? '');
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

function table(head: readonly string[], rows: readonly (readonly (string | undefined)[])[]): string {
  const lines = [head, head.map(() => '---'), ...rows.map((row) => row.map((cell) => escaped(cell ?? '–')))];
  return lines.map((line) => `| ${line.join(' | ')} |`).join('\n');
}

/** Keeps a name from being read as Markdown or as the end of a cell. */
function escaped(text: string): string {
  return text.replace(/[\\`*_{}[\]<>#|]/g, '\\$&').replace(/\s+/g, ' ');
}

function meanText(mean: MeasuredMean | undefined): string | undefined {
  return mean && `${mean.value.toFixed(3)} (${mean.low.toFixed(3)} to ${mean.high.toFixed(3)}, n = ${mean.n})`;
}

function signed(value: number): string {
  return `${value > 0 ? '+' : ''}${value.toFixed(3)}`;
}

function pText(p: number): string {
  return p < 0.001 ? 'below 0.001' : p.toFixed(3);
}
