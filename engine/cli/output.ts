/**
 * Writes results to stdout, and progress and messages to stderr; only a terminal gets a bar. All output for people passes
 * through here, and text that comes from files is made harmless (`shown`): a name in a model cannot clear the screen or write a
 * line of its own.
 */
import type { Progress } from '../contract.ts';
import { shown, shownJson, shownText, type ProblemValue } from '../problem.ts';

const barWidth = 24;
/** Sets the time between two lines of progress where there is no terminal, and so no bar. */
const millisecondsBetweenLines = 10_000;

export class Output {
  readonly json: boolean;
  readonly #terminal = process.stderr.isTTY === true;
  #barShown = false;
  #phase = '';
  /** Holds the message before: the log of a run says a phase too, as a sentence. */
  #last = '';
  #toldAt = -Infinity;

  constructor(json: boolean) {
    this.json = json;
    // A reader such as `head` may close the pipe early; the work itself continues.
    for (const stream of [process.stdout, process.stderr])
      stream.on('error', (error: NodeJS.ErrnoException) => {
        if (error.code !== 'EPIPE') throw error;
      });
  }

  /** Writes a line of the result, for people. */
  line(text = ''): void {
    if (this.json) return;
    this.#clearBar();
    process.stdout.write(`${shown(text)}\n`);
  }

  /** Writes a text of any number of lines, for people. */
  text(text: string): void {
    this.piece(`${text}\n`);
  }

  /** Writes a part of a text as it comes. */
  piece(text: string): void {
    if (this.json) return;
    this.#clearBar();
    process.stdout.write(shownText(text));
  }

  /** Writes one JSON document, for programs. */
  document(value: unknown): void {
    if (this.json) process.stdout.write(`${shownJson(value)}\n`);
  }

  /** Writes a message beside the result, to stderr. */
  message(text: string): void {
    this.#clearBar();
    if (!this.#terminal && isSame(text, this.#last)) return;
    process.stderr.write(`${shown(text)}\n`);
    this.#last = text;
  }

  progress({ phase, done, total, unit, secondsLeft }: Progress, more = ''): void {
    const beside = [more, secondsLeft === null ? '' : `${duration(secondsLeft)} left`];
    if (!this.#terminal) return this.#progressLine(phase, [total > 0 ? `${done}/${total} ${unit}` : '', ...beside]);
    const filled = total > 0 ? Math.round((barWidth * done) / total) : 0;
    const bar = `${phase} [${'#'.repeat(filled)}${'.'.repeat(barWidth - filled)}] ${done}/${total} ${unit}`;
    const text = shown([total > 0 ? bar : `${phase} ...`, ...beside].filter((part) => part !== '').join('  '));
    process.stderr.write(`\r\u001b[K${text.slice(0, (process.stderr.columns || 80) - 1)}`);
    this.#barShown = true;
  }

  /** Writes each phase to a log as it begins, and the progress of a long one. */
  #progressLine(phase: string, parts: readonly string[]): void {
    const now = performance.now();
    const isNew = phase !== this.#phase;
    if (!isNew && now - this.#toldAt < millisecondsBetweenLines) return;
    const far = parts.filter((part) => part !== '').join(', ');
    if (isNew || far === '') this.message(phase);
    else this.message(`${phase}: ${far}`);
    this.#phase = phase;
    this.#toldAt = now;
  }

  /** Writes why a command fails, and in its document what it has found out all the same. */
  problem(problem: ProblemValue, found: object = {}): void {
    this.document({ ...found, problem });
    this.notice(problem);
  }

  /** Writes something beside the work that people should know, to stderr, also where the result is for programs. */
  notice({ code, message, hint }: ProblemValue): void {
    this.message(`lowrank: ${code}: ${message}`);
    this.message(`  ${hint}`);
  }

  /** Writes rows in aligned columns, two spaces apart. */
  table(given: readonly (readonly string[])[]): void {
    const rows = given.map((row) => row.map((cell) => shown(cell)));
    const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => (row[column] ?? '').length)));
    for (const row of rows)
      this.line(
        row
          .map((cell, column) => cell.padEnd(widths[column]!))
          .join('  ')
          .trimEnd(),
      );
  }

  end(): void {
    this.#clearBar();
  }

  #clearBar(): void {
    if (this.#barShown) process.stderr.write('\r\u001b[K');
    this.#barShown = false;
  }
}

const isSame = (one: string, other: string): boolean => one.replace(/\.$/, '') === other.replace(/\.$/, '');

export function duration(seconds: number): string {
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
}

export function bytes(count: number): string {
  if (count < 1e6) return `${(count / 1e3).toFixed(1)} kB`;
  return count < 1e9 ? `${(count / 1e6).toFixed(1)} MB` : `${(count / 1e9).toFixed(2)} GB`;
}
