/** Renders chat templates: a model's own Jinja source, without access to anything of ours, in limited time and memory. */
import { MessageChannel, receiveMessageOnPort, Worker, type MessagePort } from 'node:worker_threads';
import { Problem } from '../problem.ts';
import { type Day, localTime } from './day.ts';
import type { TemplatePlace } from './template-place.ts';
import type { TemplateAnswer, TemplateSetup, TemplateTask } from './template-worker.ts';
import type { Tokenizer } from './tokenizer.ts';
import { WorkTime } from './work-time.ts';

/**
 * Limits the processor time that rendering one conversation may take; the limits below are of its memory and the length of its
 * text.
 */
const timeLimitMs = 2000;
const memoryLimitMb = 256;
const maxCharacters = 4_000_000;
/**
 * A template that has failed for this long and rendered nothing meanwhile is not tried again. Failures that come at once do not
 * count.
 */
const failingLimitMs = 3 * timeLimitMs;
const atOnceMs = 50;

/** Holds a message in the fields that a template reads. */
export interface TemplateMessage {
  readonly role: string;
  /** Holds a text, or a list or an object of parts in a form that the template reads. */
  readonly content: string | null | object;
}
/** Holds the variables that a row passes to the template beside its messages, such as `chat_template_kwargs`. */
export type TemplateVariables = Readonly<Record<string, unknown>>;

interface RenderOptions {
  readonly addGenerationPrompt: boolean;
  readonly variables?: TemplateVariables;
}

export interface ChatTemplate {
  readonly source: string;
  /**
   * Is true where a rendering was stopped for the time or memory it took, because it might succeed at another time or on
   * another machine.
   */
  readonly gaveUp: boolean;
  render(messages: readonly TemplateMessage[], options: RenderOptions): string;
  /**
   * Returns the spans of the text that the template itself marks as the assistant's (`{% generation %}`), or null where it
   * marks none.
   */
  generated(
    messages: readonly TemplateMessage[],
    options: RenderOptions,
  ): readonly { readonly start: number; readonly end: number }[] | null;
}

/**
 * Matches a tag with the blanks before it on its line and the line break after it, which Jinja removes as transformers
 * configures it.
 */
const generationTag = /(?:(?<=^|\n)[ \t]*)?\{%([-+]?)\s*(end)?generation\s*([-+]?)%\}\n?/g;
/** These private-use characters stand where the tags stood. */
const generationMarks = ['\uE0F2', '\uE0F3'] as const;

/** Returns the template with these texts instead of the tags. White space around them is removed as around the tags. */
function withMarks(source: string, [start, end]: readonly [string, string]): string {
  const cut = (sign: string): string => (sign === '-' ? '-' : '');
  return source.replace(
    generationTag,
    (_, left: string, ending: string | undefined, right: string) =>
      `{{${cut(left)} '${ending === undefined ? start : end}' ${cut(right)}}}`,
  );
}

/** Returns whether a tokenizer's chat template writes the date. */
export function printsDay(tokenizer: Pick<Tokenizer, 'chatTemplate'> | null): boolean {
  return tokenizer?.chatTemplate?.includes('strftime_now') === true;
}

/**
 * Returns the tokenizer's chat template, ready to render on a given day. Without a day each conversation is rendered at the
 * current time.
 */
export function openTemplate(
  tokenizer: Pick<Tokenizer, 'chatTemplate' | 'bosText' | 'eosText'>,
  { day }: { readonly day?: Day | undefined } = {},
): ChatTemplate {
  const source = tokenizer.chatTemplate;
  if (source === null)
    throw new Problem(
      'template-missing',
      'The model has no chat template, so conversations cannot be written as text.',
      'Use rows with {"text"} or {"prompt", "completion"}, or an instruction-tuned model.',
    );
  const bos_token = tokenizer.bosText ?? '';
  const eos_token = tokenizer.eosText ?? '';
  /** Holds why the template cannot be read, once that is known. */
  let unreadable: Problem | null = null;
  let failing = 0;
  let failure = outOfLimits();
  let gaveUp = false;
  const runWithin = (task: TemplateTask): Run => {
    const run = runApart(task);
    gaveUp ||= run.answer === null;
    return run;
  };
  const run = (source: string, messages: readonly TemplateMessage[], options: RenderOptions): string => {
    if (unreadable !== null) throw unreadable;
    if (failing >= failingLimitMs) {
      gaveUp = true;
      throw failure;
    }
    const given = { messages, bos_token, eos_token, add_generation_prompt: options.addGenerationPrompt };
    const variables = JSON.stringify({ tools: null, ...options.variables, ...given });
    const { answer, milliseconds } = runWithin({ source, variables, maxCharacters, localTime: localTime(day) });
    if (answer !== null && 'text' in answer) {
      failing = 0;
      return answer.text;
    }
    if (answer !== null && 'unreadable' in answer) throw (unreadable = notRead(answer.unreadable, answer.place));
    if (milliseconds > atOnceMs) failing += milliseconds;
    if (answer === null) failure = outOfLimits();
    else if ('tooLarge' in answer) failure = tooLarge(answer.tooLarge);
    else failure = notRendered(answer.problem, answer.place, takesRest(source, messages, options));
    throw failure;
  };
  /** Returns whether a template refuses system turns and nothing else. */
  const takesRest = (source: string, messages: readonly TemplateMessage[], options: RenderOptions): boolean => {
    const rest = messages.filter(({ role }) => role !== 'system');
    if (rest.length === messages.length || rest.length === 0) return false;
    const given = { messages: rest, bos_token, eos_token, add_generation_prompt: false };
    const variables = JSON.stringify({ tools: null, ...options.variables, ...given });
    const { answer } = runWithin({ source, variables, maxCharacters, localTime: localTime(day) });
    return answer !== null && 'text' in answer;
  };
  const plain = withMarks(source, ['', '']);
  const marked = withMarks(source, generationMarks);
  return {
    source,
    get gaveUp() {
      return gaveUp;
    },
    render: (messages, options) => run(plain, messages, options),
    generated(messages, options) {
      if (
        marked === plain ||
        messages.some(({ content }) => generationMarks.some((mark) => JSON.stringify(content).includes(mark)))
      )
        return null;
      const text = run(marked, messages, options);
      const pieces = text.split(generationMarks[0]).map((piece) => piece.split(generationMarks[1]));
      const [before, ...turns] = pieces;
      const whole = turns.length > 0 && before!.length === 1 && turns.every((piece) => piece.length === 2);
      // A template that processes what it has written may behave differently with the marks in it.
      if (!whole || pieces.flat().join('') !== run(plain, messages, options)) return null;
      let at = before![0]!.length;
      return turns.map(([inside, after]) => {
        const start = at;
        at += inside!.length + after!.length;
        return { start, end: start + inside!.length };
      });
    },
  };
}

/** Matches the library's message for an object such as `{1: "a"}`. */
const numbersAsKeys = /^Object keys must be strings/;

function notRead(reason: string, place: TemplatePlace | null): Problem {
  return new Problem(
    'template-unsupported',
    `The model's chat template cannot be read${whereIn(place) || ` (${reason.replace(/\.+$/, '')})`}.`,
    rewriteTemplate,
  );
}

const rewriteTemplate =
  'The template has something that is not supported here. Write that place in another way in chat_template.jinja of the model, or use the template of another version of it.';

function whereIn(place: TemplatePlace | null): string {
  return place === null ? '' : ` in line ${place.line}, at ${place.tag}`;
}

function notRendered(reason: string, place: TemplatePlace | null, withoutSystem: boolean): Problem {
  if (place !== null)
    return new Problem(
      'template-failed',
      `The model's chat template could not be rendered${whereIn(place)}: ${reason}.`,
      rewriteTemplate,
    );
  if (numbersAsKeys.test(reason))
    return new Problem(
      'template-failed',
      'The chat template could not be rendered: it has an object with numbers as its keys, which is not supported.',
      'Use a template that has texts as keys, or a list, in its place.',
    );
  const said = reason.replace(/\.+$/, '');
  return withoutSystem
    ? new Problem(
        'template-failed',
        `The model's chat template takes no system turn: ${said}.`,
        'Put its text at the start of the first user turn, which foldSystem does for all rows (--fold-system), or leave it out.',
      )
    : new Problem(
        'template-failed',
        `The chat template could not be rendered: ${said}.`,
        'Check what it asks for: some templates allow only user and assistant in turn, or want calls of tools in a form of their own.',
      );
}

const otherTemplate = 'The template may be damaged; use the one of the original model.';

function outOfLimits(): Problem {
  return tooLarge(`it needed more than ${timeLimitMs / 1000} seconds or ${memoryLimitMb} MB`);
}

function tooLarge(reason: string): Problem {
  return new Problem('template-failed', `The chat template could not be rendered: ${reason}.`, otherTemplate);
}

/**
 * Limits the time that the thread may take to start, on a busy machine; the limit below is how long it may do nothing before it
 * counts as dead.
 */
const startLimitMs = 20_000;
const goneMs = 4000;
const millisecondsBetweenLooks = 50;

/** Holds an answer, or null where there is none within the limits, and the processor time that it took. */
interface Run {
  readonly answer: TemplateAnswer | null;
  readonly milliseconds: number;
}

/**
 * Represents the thread that renders. The process has one; it is kept between conversations, and replaced when it had to be
 * ended.
 */
class Renderer {
  readonly #worker: Worker;
  readonly #port: MessagePort;
  /** Is 0 while the thread works and 1 when it has answered. */
  readonly #answered = new Int32Array(new SharedArrayBuffer(4));
  readonly #started: boolean;

  constructor() {
    const { port1, port2 } = new MessageChannel();
    this.#port = port1;
    const setup: TemplateSetup = { port: port2, answered: this.#answered };
    this.#worker = new Worker(new URL('./template-worker.ts', import.meta.url), {
      workerData: setup,
      transferList: [port2],
      env: {},
      execArgv: [],
      resourceLimits: { maxOldGenerationSizeMb: memoryLimitMb, maxYoungGenerationSizeMb: 32 },
    });
    // A thread that dies of its limits needs no handling here, because whoever waits for it notices.
    this.#worker.on('error', () => {});
    this.#worker.unref();
    port1.unref();
    this.#started = this.#wait(startLimitMs, startLimitMs).answered;
  }

  /** Waits until the thread has answered, has worked for `limitMs`, or has done nothing for `idleMs`. */
  #wait(limitMs: number, idleMs: number): { readonly answered: boolean; readonly milliseconds: number } {
    const time = new WorkTime();
    // A notification may arrive a little after its answer, so being woken alone says nothing.
    while (Atomics.load(this.#answered, 0) === 0) {
      Atomics.wait(this.#answered, 0, 0, millisecondsBetweenLooks);
      time.look();
      const over = time.spent > limitMs || time.idle > idleMs;
      if (over && Atomics.load(this.#answered, 0) === 0)
        return { answered: false, milliseconds: Math.max(time.spent, time.idle) };
    }
    return { answered: true, milliseconds: time.spent };
  }

  run(task: TemplateTask): Run {
    if (!this.#started) return { answer: null, milliseconds: startLimitMs };
    Atomics.store(this.#answered, 0, 0);
    this.#port.postMessage(task);
    const { answered, milliseconds } = this.#wait(timeLimitMs, goneMs);
    const answer = answered ? (receiveMessageOnPort(this.#port)!.message as TemplateAnswer) : null;
    return { answer, milliseconds };
  }

  end(): void {
    void this.#worker.terminate();
    this.#port.close();
  }
}

let renderer: Renderer | null = null;

function runApart(task: TemplateTask): Run {
  renderer ??= new Renderer();
  const run = renderer.run(task);
  if (run.answer === null) {
    renderer.end();
    renderer = null;
  }
  return run;
}
