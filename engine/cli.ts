/** Runs the command line: finds the command, hands it what it needs, and turns its outcome into an exit status. */
import { parseArgs } from 'node:util';
import { Arguments, type Command, Interrupted, ProblemInResult, UsageError } from './cli/command.ts';
import { commands, globalOptions } from './cli/commands.ts';
import { Output } from './cli/output.ts';
import { type ProblemValue, shown, toProblemValue } from './problem.ts';
import { nearestWord } from './nearest-word.ts';
import { connectHost, defaultDataDir, type HostClient } from './rpc.ts';

function unknownCommand(name: string): string {
  const near = nearestWord(name, Object.keys(commands));
  return `There is no command '${name}'${near === null ? '.' : `; did you mean '${near}'?`}`;
}

function help(): string {
  const rows = Object.entries(commands).map(([name, { usage, summary }]) => `  ${`${name} ${usage}`.trim()}\n      ${summary}`);
  return [
    'lowrank [--data-dir DIR] <command> [--json]',
    '',
    ...rows,
    '',
    'PATH of a model: a folder with config.json and safetensors, or a GGUF file.',
    'Exit status: 0 done, 1 a problem, 2 wrong usage, 130 stopped.',
  ].join('\n');
}

/**
 * Reads the arguments of a command. The values of a list option may follow its name without repeating it: `--data a.jsonl
 * b.jsonl`.
 */
function readArguments(command: Command, argv: readonly string[]): Arguments {
  const options = { ...command.options, ...globalOptions };
  let parsed;
  try {
    parsed = parseArgs({ args: [...argv], options, allowPositionals: true, tokens: true });
  } catch (error) {
    const [what = '', ...more] = (error as Error).message.replace(/\s+/g, ' ').split('. ');
    // A value that looks like an option says in its next sentences how it is written.
    throw new UsageError((what.endsWith('is ambiguous') ? [what, ...more].join('. ') : what).replace(/\.?$/, '.'));
  }
  const values: Record<string, string | boolean | (string | boolean)[] | undefined> = { ...parsed.values };
  const positionals: string[] = [];
  let list: (string | boolean)[] | null = null;
  for (const token of parsed.tokens) {
    if (token.kind === 'option') {
      const value = values[token.name];
      list = command.lists?.includes(token.name) && Array.isArray(value) ? value : null;
    } else if (token.kind === 'positional') {
      if (list === null) positionals.push(token.value);
      else list.push(token.value);
    } else list = null;
  }
  return new Arguments(values, positionals);
}

async function main(argv: string[]): Promise<number> {
  let dataDir = defaultDataDir();
  while (argv[0]?.startsWith('--data-dir')) {
    const joined = argv.shift()!;
    const value = joined.startsWith('--data-dir=') ? joined.slice('--data-dir='.length) : argv.shift();
    if (joined !== '--data-dir' && !joined.startsWith('--data-dir=')) return usage(`'${joined}' is not known.`);
    if (!value) return usage('--data-dir takes a folder.');
    dataDir = value;
  }
  const name = argv.shift();
  if (name === undefined || name === 'help' || name === '--help' || name === '-h') {
    process.stdout.write(`${help()}\n`);
    return name === undefined ? 2 : 0;
  }
  const command = Object.hasOwn(commands, name) ? commands[name] : undefined;
  if (command === undefined) return usage(unknownCommand(name));

  const output = new Output(argv.includes('--json'));
  let client: HostClient | null = null;
  const interrupted = Promise.withResolvers<never>();
  let gentle: (() => void) | null = null;
  let isAbandoned = false;
  let interruptedAt = -Infinity;
  const interrupt = () => {
    // One key press may reach us twice, from the terminal and from the process that started us.
    if (performance.now() - interruptedAt < 1000) return;
    interruptedAt = performance.now();
    const listener = gentle;
    gentle = null;
    if (listener !== null) return listener();
    isAbandoned = true;
    interrupted.reject(new Interrupted('Stopped.'));
  };
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, interrupt);

  try {
    const args = readArguments(command, argv);
    if (args.flag('help')) {
      process.stdout.write(`lowrank ${name} ${command.usage}\n\n${command.summary}\n`);
      return 0;
    }
    dataDir = args.text('data-dir') ?? dataDir;
    const work = command.run({
      args,
      output,
      dataDir,
      connect: async () => (client = await connectHost(dataDir, { onSilence: (text) => output.message(text) })),
      onInterrupt: (listener) => {
        gentle = listener;
      },
    });
    await Promise.race([work, interrupted.promise]);
    return 0;
  } catch (error) {
    output.end();
    if (error instanceof UsageError) {
      const line = `lowrank ${name} ${command.usage}`;
      return usage(error.message, line.length > longestUsage ? `lowrank ${name} --help shows its options.` : line);
    }
    if (error instanceof Interrupted) {
      output.document({ problem: { code: 'stopped', message: error.message, hint: 'Start it again.' } });
      output.message(error.message);
      return 130;
    }
    const problem = toProblemValue(error instanceof ProblemInResult ? error.problem : error);
    output.problem(problem, error instanceof ProblemInResult ? error.result : {});
    return 1;
  } finally {
    // Work that was abandoned could still write its result meanwhile; the notices stay for the next command.
    if (!isAbandoned) for (const notice of await untold(client)) output.notice(notice);
    // The engine ends only what this process requested.
    (client as HostClient | null)?.close();
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.off(signal, interrupt);
  }
}

/** Limits, in characters, the usage that is shown with an error: a longer one would hide it. */
const longestUsage = 200;

/** Limits, in milliseconds, how long a command that has ended waits for an engine that hangs. */
const longestWaitForNotices = 2000;

/** Returns what the engine has to tell of its database; nothing when the engine is gone. */
async function untold(client: HostClient | null): Promise<readonly ProblemValue[]> {
  if (client === null) return [];
  const notices = client.request('notices.take', undefined).catch(() => []);
  return Promise.race([notices, new Promise<[]>((done) => setTimeout(() => done([]), longestWaitForNotices))]);
}

function usage(message: string, line = 'lowrank help shows every command.'): number {
  process.stderr.write(`lowrank: ${shown(message)}\n  ${line}\n`);
  return 2;
}

process.exitCode = await main(process.argv.slice(2));
// Abandoned work may still keep the process alive; written output is flushed first.
process.stdout.write('', () => process.exit());
