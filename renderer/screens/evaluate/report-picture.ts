/** Draws the verdict and the table of contestants of a report as a picture, in the look of the light theme. */
import type { MeasureName } from '../../../engine/measures.ts';
import { count } from '../../ui/format.ts';
import { intervalText, isShare, titleOf, valueText } from './measure-names.ts';
import { measuresOf, type ShownReport } from './report-pairs.ts';
import { verdictTitles, verdictWords } from './verdict-words.ts';

const colours = {
  page: '#ffffff',
  text: '#16181b',
  dim: '#474d53',
  faint: '#61686f',
  line: '#e2e5e7',
  bar: '#b8bdc1',
  trained: '#6fa9be',
};
const sizes = { edge: 24, name: 220, measure: 260, rest: 90, row: 30, scale: 2 } as const;
const sans = "'Inter Variable', Inter, system-ui, sans-serif";

/** Returns the picture as PNG in Base64. */
export function reportPicture(report: ShownReport, title: string): string {
  const measures = measuresOf(report);
  const width = Math.max(720, 2 * sizes.edge + sizes.name + measures.length * sizes.measure + 2 * sizes.rest);
  const canvas = document.createElement('canvas');
  const pen = canvas.getContext('2d');
  if (pen === null) throw new Error('No picture can be drawn here.');
  const { claim, details } = verdictWords(report.verdict);
  pen.font = `600 16px ${sans}`;
  const claimLines = wrapped(pen, `${verdictTitles[report.verdict.code]}: ${claim}`, width - 2 * sizes.edge);
  pen.font = `400 12px ${sans}`;
  const detailLines = wrapped(pen, details, width - 2 * sizes.edge);
  const top = sizes.edge + 20 + 22 * claimLines.length + 17 * detailLines.length + 14;
  const height = top + sizes.row * (report.contestants.length + 1) + sizes.edge;
  [canvas.width, canvas.height] = [width * sizes.scale, height * sizes.scale];
  pen.scale(sizes.scale, sizes.scale);
  pen.fillStyle = colours.page;
  pen.fillRect(0, 0, width, height);
  const write = (text: string, x: number, y: number, style: string, colour: string, align: CanvasTextAlign = 'left'): void => {
    pen.font = `${style} ${sans}`;
    pen.fillStyle = colour;
    pen.textAlign = align;
    pen.fillText(text, x, y);
  };

  write(title, sizes.edge, sizes.edge + 10, '400 12px', colours.faint);
  claimLines.forEach((line, i) => write(line, sizes.edge, sizes.edge + 34 + 22 * i, '600 16px', colours.text));
  const under = sizes.edge + 34 + 22 * claimLines.length - 3;
  detailLines.forEach((line, i) => write(line, sizes.edge, under + 17 * i, '400 12px', colours.dim));

  const right = width - sizes.edge;
  const xOf = (i: number): number => sizes.edge + sizes.name + i * sizes.measure;
  write('Contestant', sizes.edge, top + 19, '500 11px', colours.faint);
  measures.forEach((measure, i) => write(titleOf(measure), xOf(i) + 70, top + 19, '500 11px', colours.faint, 'right'));
  write('Prompt tokens', right - sizes.rest, top + 19, '500 11px', colours.faint, 'right');
  write('ms per answer', right, top + 19, '500 11px', colours.faint, 'right');
  report.contestants.forEach((one, row) => {
    const y = top + sizes.row * (row + 1);
    pen.fillStyle = colours.line;
    pen.fillRect(sizes.edge, y, width - 2 * sizes.edge, 1);
    write(fitting(pen, one.name, sizes.name - 12), sizes.edge, y + 19, '400 12px', colours.text);
    measures.forEach((measure, i) => {
      const mean = one.measures[measure];
      if (mean === undefined) return;
      write(valueText(measure, mean.value), xOf(i) + 70, y + 19, '400 12px', colours.text, 'right');
      write(intervalText(measure, mean.low, mean.high), xOf(i) + 176, y + 19, '400 11px', colours.faint);
      drawInterval(pen, { ...mean, x: xOf(i) + 82, y: y + 15, most: mostOf(report, measure), trained: one.trained });
    });
    write(
      one.promptTokens === null ? '–' : count(one.promptTokens),
      right - sizes.rest,
      y + 19,
      '400 12px',
      colours.text,
      'right',
    );
    const time = one.secondsPerAnswer === null ? '–' : count(1000 * one.secondsPerAnswer);
    write(time, right, y + 19, '400 12px', colours.text, 'right');
  });
  return canvas.toDataURL('image/png').replace(/^data:image\/png;base64,/, '');
}

interface Interval {
  readonly value: number;
  readonly low: number;
  readonly high: number;
  readonly x: number;
  readonly y: number;
  readonly most: number;
  readonly trained: boolean;
}

function drawInterval(pen: CanvasRenderingContext2D, { value, low, high, x, y, most, trained }: Interval): void {
  const at = (share: number): number => x + 80 * Math.min(1, Math.max(0, most > 0 ? share / most : 0));
  pen.fillStyle = colours.line;
  for (const tick of [0, 40, 80]) pen.fillRect(x + tick, y - 14, 1, sizes.row);
  pen.fillStyle = trained ? colours.trained : colours.bar;
  pen.fillRect(x, y - 4, Math.max(0.5, at(value) - x), 8);
  pen.strokeStyle = colours.text;
  pen.lineWidth = 1.25;
  pen.beginPath();
  pen.moveTo(at(low), y);
  pen.lineTo(at(high), y);
  for (const end of [low, high]) {
    pen.moveTo(at(end), y - 4);
    pen.lineTo(at(end), y + 4);
  }
  pen.stroke();
}

function mostOf({ contestants }: ShownReport, measure: MeasureName): number {
  return isShare(measure) ? 1 : Math.max(...contestants.map(({ measures }) => measures[measure]?.high ?? 0));
}

function wrapped(pen: CanvasRenderingContext2D, text: string, width: number): string[] {
  const lines: string[] = [];
  for (const word of text.split(' ').filter((one) => one !== '')) {
    const longer = lines.length === 0 ? word : `${lines.at(-1)!} ${word}`;
    if (lines.length > 0 && pen.measureText(longer).width <= width) lines[lines.length - 1] = longer;
    else lines.push(fitting(pen, word, width));
  }
  return lines;
}

function fitting(pen: CanvasRenderingContext2D, text: string, width: number): string {
  if (pen.measureText(text).width <= width) return text;
  const letters = [...text];
  while (letters.length > 1 && pen.measureText(`${letters.join('')}…`).width > width) letters.pop();
  return `${letters.join('')}…`;
}
