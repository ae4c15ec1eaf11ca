/** Writes Ollama's Modelfile, and reads it as Ollama's parser does (parser.go). */
import { Problem } from '../../problem.ts';

/** Holds the parts of a Modelfile that concern conversations. */
export interface OllamaChat {
  /** Gives the TEMPLATE, or null where Ollama derives one from the template in the GGUF. */
  readonly template: string | null;
  /** Gives the system prompt of conversations that do not begin with a system message. */
  readonly system: string | null;
}

export interface Modelfile extends OllamaChat {
  /** Lists comments at the head of the file. */
  readonly notes: readonly string[];
  /** Gives the path of the GGUF, relative to the Modelfile. */
  readonly from: string;
  /** Lists the texts that end an answer. */
  readonly stops: readonly string[];
}

export function formatModelfile({ notes, from, template, system, stops }: Modelfile): string {
  return [
    ...notes.map((note) => `# ${note.replace(/\s+/g, ' ')}`),
    `FROM ./${from}`,
    ...(template === null ? [] : [`TEMPLATE """${template}"""`]),
    ...(system === null ? [] : [`SYSTEM """${system}"""`]),
    // Nothing is escaped between its quotes.
    ...stops.map((stop) => (/["\n]/.test(stop) ? `PARAMETER stop """${stop}"""` : `PARAMETER stop "${stop}"`)),
    '',
  ].join('\n');
}

/** Returns whether a text can be written between three quotes. */
export function canBeQuoted(text: string): boolean {
  return !text.includes('"""') && !text.endsWith('"');
}

export function parseModelfile(text: string): Modelfile {
  const invalid = (line: string): Problem =>
    new Problem('config-invalid', `The Modelfile has the line '${line}', which is not understood.`, 'Write it again.');
  const entry =
    /[ \t]*(?:#[ \t]*([^\n]*)|(\w+)[ \t]+(?:(stop)[ \t]+)?(?:"""([\s\S]*?)"""(?!")|"([^\n]*)"|([^"\n][^\n]*)))?[ \t]*(?:\n|$)/y;
  const notes: string[] = [];
  const stops: string[] = [];
  let from: string | null = null;
  let template: string | null = null;
  let system: string | null = null;
  while (entry.lastIndex < text.length) {
    const at = entry.lastIndex;
    const found = entry.exec(text);
    if (found === null) throw invalid(text.slice(at).split('\n')[0]!);
    const [line, note, word, parameter, block, quoted, plain = ''] = found;
    const value = block ?? quoted ?? plain;
    if (note !== undefined) notes.push(note);
    else if (word === 'FROM') from = value.replace(/^\.\//, '');
    else if (word === 'TEMPLATE') template = value;
    else if (word === 'SYSTEM') system = value;
    else if (word === 'PARAMETER' && parameter !== undefined) stops.push(value);
    else if (word !== undefined) throw invalid(line.trim());
  }
  if (from === null) throw new Problem('config-invalid', 'The Modelfile has no FROM.', 'Write it again.');
  return { notes, from, template, system, stops };
}
