/** Reads exports with programs in Python: a script of `python/` answers jobs line by line. */
import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

/** Where onnxruntime-genai is put, which few have. */
const packages = join(import.meta.dirname, '..', 'node_modules', '.python');
const genai = 'onnxruntime-genai==0.18.0';

/** This Python is used: LOWRANK_PYTHON, or what the shell finds. */
export const python = process.env['LOWRANK_PYTHON'] ?? 'python3';

export class PythonReader {
  version = '';
  #child;
  #lines;
  #folder = mkdtempSync(join(tmpdir(), 'interop-python-'));
  #errors = '';

  /** Starts transformers and PEFT. Throws where they are not there. */
  static hub() {
    return PythonReader.#start('read-hub.py');
  }

  /** Starts onnxruntime-genai, and installs it beside Node's packages where Python has none. Throws where that cannot be. */
  static async genai() {
    try {
      return await PythonReader.#start('read-genai.py');
    } catch {
      const options = ['install', '--quiet', '--disable-pip-version-check', '--only-binary=:all:', '--target', packages];
      const { status } = spawnSync(python, ['-m', 'pip', ...options, genai], { stdio: 'ignore' });
      if (status !== 0) throw new Error(`${genai} cannot be installed`);
      return PythonReader.#start('read-genai.py');
    }
  }

  static async #start(script) {
    const reader = new PythonReader();
    const child = spawn(python, [join(import.meta.dirname, 'python', script)], {
      stdio: ['pipe', 'pipe', 'pipe'],
      env: {
        ...process.env,
        ...{ HF_HUB_OFFLINE: '1', TRANSFORMERS_VERBOSITY: 'error', TOKENIZERS_PARALLELISM: 'false' },
        ORT_DISABLE_TELEMETRY: '1',
        ...(script === 'read-genai.py' ? { PYTHONPATH: packages } : {}),
      },
    });
    reader.#child = child;
    // What went wrong is told by the line that does not come.
    child.on('error', () => {});
    child.stdin.on('error', () => {});
    child.stderr.on('data', (chunk) => (reader.#errors = (reader.#errors + chunk).slice(-4000)));
    reader.#lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
    try {
      const first = await reader.#next();
      reader.version = first.version;
      return reader;
    } catch (error) {
      rmSync(reader.#folder, { recursive: true, force: true });
      throw error;
    }
  }

  async #next() {
    const { value, done } = await this.#lines.next();
    if (!done) return JSON.parse(value);
    throw new Error(this.#errors.trim().split('\n').at(-1) || `${python} is not there`);
  }

  /** Returns what the script answers to a job, with the logits it wrote. */
  async read(path, { texts, conversation, tokens, promptLength, adapter = null }) {
    const file = join(this.#folder, 'logits');
    const job = { path, adapter, texts, conversation, tokens, promptLength, logits: file };
    this.#child.stdin.write(`${JSON.stringify(job)}\n`);
    const answer = await this.#next();
    if (answer.problem !== undefined) throw new Error(answer.problem);
    const bytes = readFileSync(file);
    const all = new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length));
    const width = all.length / (tokens.length - 1);
    const logits = tokens.slice(1).map((_, t) => all.subarray(t * width, (t + 1) * width));
    return { ...answer, logits };
  }

  async stop() {
    const closed = new Promise((resolve) => this.#child.once('close', resolve));
    this.#child.stdin.end();
    await closed;
    rmSync(this.#folder, { recursive: true, force: true });
  }
}
