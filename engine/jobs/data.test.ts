/** The process that stays open while somebody types: it reads no more than a request needs, and never answers for files of before. */
import { appendFileSync, cpSync, mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import type {
  DataAt,
  AdapterPlan,
  DataReport,
  ExportChoice,
  FoundRow,
  JobRequest,
  Progress,
  RenderedRows,
  Split,
  RowDetail,
  RowLine,
  TargetPlan,
} from '../contract.ts';
import { hashFile } from '../formats/files.ts';
import { defaultRecipe } from '../recipe.ts';
import { trialFor, trialKey } from '../training/trial.ts';
import { silentAsker } from '../testing/port.ts';
import { runData } from './data.ts';
import type { JobAsker } from './port.ts';
import { runScan } from './scan.ts';
import { runTrial } from './trial.ts';

const tiny = join(import.meta.dirname, '../../resources/tiny/model');
const golden = join(import.meta.dirname, '../golden');
const work = mkdtempSync(join(tmpdir(), 'data-job-'));
afterAll(() => rmSync(work, { recursive: true }));

/** The job, in this process; no earlier one has kept anything for it. */
function ask(modelPath: string): <T>(request: JobRequest, asker?: JobAsker) => Promise<T> {
  let handler: (request: JobRequest, asker: JobAsker) => Promise<unknown> = () => Promise.reject(new Error('not there'));
  const untilStopped = () => new Promise<void>(() => {});
  void runData(
    { kind: 'data', model: { path: modelPath }, cacheDir: mkdtempSync(join(work, 'cache-')) },
    { send: () => {}, stopRequested: false, onRequest: (given) => (handler = given), untilStopped },
  );
  return async <T>(request: JobRequest, asker = silentAsker) => (await handler(request, asker)) as T;
}

it('says what a recipe adapts without opening the tokenizer, which rows need', async () => {
  const modelPath = join(work, 'broken-tokenizer');
  cpSync(tiny, modelPath, { recursive: true });
  writeFileSync(join(modelPath, 'tokenizer.json'), '{"broken');
  const job = ask(modelPath);
  const plan = await job<TargetPlan>({ name: 'targets', recipe: { ...defaultRecipe(), rank: 3 } });
  expect(plan.modules.find(({ target }) => target === 'q_proj')!.ranks[0]).toBe(3);
  const { layers, matrices } = await job<AdapterPlan>({ name: 'adapter', recipe: defaultRecipe() });
  expect(matrices).toBe(7 * layers);
  const dataPaths = [join(work, 'rows.jsonl')];
  writeFileSync(dataPaths[0]!, '{"text": "a"}\n');
  await expect(job({ name: 'render', data: { paths: dataPaths }, offset: 0 })).rejects.toMatchObject({
    code: expect.stringMatching(/tokenizer|config|damaged/) as string,
  });
});

it('answers for a model that has taken the place of another', async () => {
  const modelPath = join(work, 'replaced');
  cpSync(join(golden, 'llama-tied/model'), modelPath, { recursive: true });
  const job = ask(modelPath);
  const names = async () =>
    (await job<TargetPlan>({ name: 'targets', recipe: defaultRecipe() })).modules.map(({ target }) => target);
  expect(await names()).toContain('q_proj');
  rmSync(modelPath, { recursive: true });
  cpSync(join(golden, 'gpt2/model'), modelPath, { recursive: true });
  expect(await names()).toContain('c_fc');
});

it('tells the exports of an adapter and the trial of a run', async () => {
  const model = join(golden, 'llama-tied/model');
  const ofAdapter = (adapterPath: string) => ask(model)<readonly ExportChoice[]>({ name: 'choices', adapterPath });
  const choices = await ofAdapter(join(golden, 'llama-tied/adapter'));
  expect(choices.map(({ format }) => format)).toContain('peft');
  await expect(ofAdapter(join(golden, 'smollm2-json/adapter'))).rejects.toMatchObject({ code: 'adapter-mismatch' });
  const subject = { model: { path: model }, adapterPath: null, recipe: {} };
  expect(await ask(model)({ name: 'trialKey', subject })).toBe(trialKey(trialFor(subject)));
});

it('holds a recorded adapter to its hashes before its exports and the trial of its run are told', async () => {
  const model = join(golden, 'llama-tied/model');
  const adapterPath = join(golden, 'llama-tied/adapter');
  const recorded = {
    adapterHash: await hashFile(join(adapterPath, 'adapter_model.safetensors')),
    adapterConfigHash: await hashFile(join(adapterPath, 'adapter_config.json')),
  };
  const asked = (hashes: object) => {
    const adapter = { adapterPath, ...recorded, ...hashes };
    const subject = { model: { path: model }, ...adapter, recipe: {} };
    return {
      answers: [ask(model)({ name: 'choices', ...adapter }), ask(model)({ name: 'trialKey', subject })],
      trial: () => runTrial({ kind: 'trial', provider: 'webgpu', subject, cacheDir: work }),
    };
  };
  await Promise.all(asked({}).answers);
  for (const changed of [{ adapterHash: 'another' }, { adapterConfigHash: 'another' }]) {
    const { answers, trial } = asked(changed);
    for (const answer of await Promise.allSettled([...answers, trial()]))
      expect(answer).toMatchObject({ status: 'rejected', reason: { code: 'adapter-changed' } });
  }
});

describe('a data set that takes long to read', () => {
  const dataPaths = [join(work, 'lamps.jsonl'), join(work, 'list.json')];
  const rows = Array.from({ length: 400 }, (_, i) => ({ text: `${i} reading lamps` }));
  writeFileSync(dataPaths[0]!, rows.map((row) => `${JSON.stringify(row)}\n`).join(''));
  writeFileSync(dataPaths[1]!, `\ufeff [\n${rows.map((row) => JSON.stringify(row)).join(',\n')}\n]`);
  type Page = { readonly rows: readonly RowLine[]; readonly total: number | null };
  const page = (offset: number): JobRequest => ({ name: 'rows', data: { paths: dataPaths }, offset, limit: 3, maxLength: 99 });
  const report: JobRequest = { name: 'report', data: { paths: dataPaths }, maxLength: 99 };
  /** Somebody who waits, and what is heard by then; `at` leaves when so many rows are done. */
  function asking(leaveAt = Infinity): JobAsker & { readonly heard: Progress[] } {
    const controller = new AbortController();
    const heard: Progress[] = [];
    const listen = (progress: Progress) => {
      heard.push(progress);
      if (progress.rows! >= leaveAt) controller.abort();
    };
    return { signal: controller.signal, report: listen, heard };
  }

  it('shows a page without reading on, and pages in any order as in the file', async () => {
    const job = ask(tiny);
    const asker = asking();
    const first = await job<Page>(page(0), asker);
    expect(first.total).toBe(null);
    expect(asker.heard.map(({ rows }) => rows)).toEqual([0]);
    const shown = async (offset: number) =>
      (await job<Page>(page(offset))).rows.map(({ index, line, headline }) => [index, line, headline]);
    const expected = (index: number, line: number) => [index, line, `${index % 400} reading lamps`];
    expect(await shown(700)).toEqual([expected(700, 302), expected(701, 303), expected(702, 304)]);
    expect(await shown(398)).toEqual([expected(398, 399), expected(399, 400), expected(400, 2)]);
    expect(await shown(799)).toEqual([expected(799, 401)]);
    expect((await job<Page>(page(5))).total).toBe(800);
    // A page that is known is read from where it begins.
    const again = asking();
    await job<Page>(page(700), again);
    expect(again.heard.map(({ rows }) => rows)).toEqual([700]);
  });

  it('shows one row with its tokens and its record, and looks for texts', async () => {
    const job = ask(tiny);
    const { examples, record } = await job<RowDetail>({ name: 'row', data: { paths: dataPaths }, row: 701, maxLength: 4 });
    expect(examples).toMatchObject([{ index: 701, line: 303, text: '301 reading lamps', turn: null, problem: null }]);
    expect(examples[0]!.tokens.map(({ text }) => text).join('')).toContain('301 reading lamps');
    expect(examples[0]!.tokens.slice(4).every(({ role }) => role === 'truncated')).toBe(true);
    expect(JSON.parse(record!)).toEqual({ text: '301 reading lamps' });
    const all: FoundRow[] = [];
    for (let from: number | null = 0; from !== null;) {
      const search: JobRequest = { name: 'find', data: { paths: dataPaths }, text: '301 READING', from };
      const { found, next }: { found: FoundRow[]; next: number | null } = await job(search);
      all.push(...found);
      from = next;
    }
    expect(all).toMatchObject([{ row: 301 }, { row: 701, line: 303 }]);
  });

  it('says how far it is, and where', async () => {
    const asker = asking();
    const { rows } = await ask(tiny)<DataReport>(report, asker);
    expect(rows).toBe(800);
    expect(asker.heard.at(-1)).toMatchObject({
      rows: 784,
      unit: 'bytes',
      at: { file: dataPaths[1], firstLine: 386, lastLine: 401 },
    });
    expect(asker.heard.every(({ done, total }, i) => done < total && done >= (asker.heard[i - 1]?.done ?? 0))).toBe(true);
  });

  it('is rendered piece by piece, each from where the one before ended', async () => {
    const many = [join(work, 'many.jsonl')];
    const line = (i: number) => `${JSON.stringify(i === 5 ? { text: 5 } : { text: `${i} reading lamps` })}\n`;
    writeFileSync(many[0]!, Array.from({ length: 2500 }, (_, i) => line(i)).join(''));
    const job = ask(tiny);
    const texts: string[] = [];
    let pieces = 0;
    for (let offset: number | null = 0; offset !== null; pieces++) {
      const asker = asking();
      const answer: RenderedRows = await job<RenderedRows>({ name: 'render', data: { paths: many }, offset }, asker);
      expect(asker.heard[0]!.rows).toBe(offset);
      texts.push(...answer.rows.map((row) => ('problem' in row ? row.problem.code : row.text)));
      offset = answer.next;
    }
    expect(pieces).toBeGreaterThan(2);
    expect(texts).toEqual(Array.from({ length: 2500 }, (_, i) => (i === 5 ? 'data-invalid' : `${i} reading lamps`)));
  });

  it('gives way to a page that somebody waits for', async () => {
    const job = ask(tiny);
    const begun = Promise.withResolvers<void>();
    const asker = asking();
    const { report: hear } = asker;
    const checked = job<DataReport>(report, { ...asker, report: (progress) => (hear(progress), begun.resolve()) });
    await begun.promise;
    expect((await job<Page>(page(0))).rows).toHaveLength(3);
    expect(asker.heard.length).toBeLessThan(3);
    expect((await checked).rows).toBe(800);
  });

  it('is read on for whoever still waits, and no further when nobody does', async () => {
    const job = ask(tiny);
    const [leaves, stays] = [asking(64), asking()];
    const [left, answered] = await Promise.allSettled([job(report, leaves), job<DataReport>(report, stays)]);
    expect(left).toMatchObject({ status: 'rejected', reason: { code: 'stopped' } });
    expect(answered).toMatchObject({ status: 'fulfilled', value: { rows: 800 } });
    // Both were told of one reading.
    expect(stays.heard.filter(({ rows }) => rows === 0)).toHaveLength(1);

    const alone = ask(tiny);
    const last = asking(64);
    await expect(alone(report, last)).rejects.toMatchObject({ code: 'stopped' });
    await new Promise((done) => setTimeout(done, 50));
    expect(last.heard.at(-1)!.rows).toBe(64);
    // And begins anew for the next.
    expect((await alone<DataReport>(report)).rows).toBe(800);
  });

  it('names the files that are not those of the version, whichever split is looked at', async () => {
    const job = ask(tiny);
    const [trained, kept] = ['trained.jsonl', 'kept.jsonl'].map((name) => join(work, name)) as [string, string];
    const write = (path: string, ...texts: string[]) =>
      writeFileSync(path, texts.map((text) => `${JSON.stringify({ text })}\n`).join(''));
    write(trained, 'one', 'two');
    write(kept, 'three');
    const files = { paths: [trained], evalPaths: [kept] };
    const scan = await runScan({ kind: 'scan', data: files }, { send: () => {}, stopRequested: false });
    const hashes = Object.fromEntries(scan.files.map(({ path, sha256 }) => [path, sha256!]));
    const changed = async (data: DataAt, split: Split) => {
      const found = await job<DataReport>({ name: 'report', data, split, maxLength: 64 });
      expect(found.checks[0]!.title.includes('changed')).toBe(found.changed.length > 0);
      for (const path of found.changed) expect(found.checks[0]!.detail).toContain(path);
      return found.changed;
    };
    const all = async () => [
      await changed({ ...files, hashes }, 'train'),
      await changed({ ...files, hashes }, 'eval'),
      await changed({ paths: [kept], hashes }, 'train'),
      await changed(files, 'train'),
    ];
    expect(await all()).toEqual([[], [], [], []]);
    write(trained, 'one', 'too');
    expect(await all()).toEqual([[trained], [trained], [], []]);
    write(kept, 'three', 'more');
    expect(await all()).toEqual([[trained, kept], [trained, kept], [kept], []]);
  });

  it('refuses what was read of a file that was changed meanwhile, by that and not by a row', async () => {
    const path = join(work, 'torn.jsonl');
    // More than is read at a time.
    const row = `${JSON.stringify({ input_ids: [1, 2, 3], padding: 'x'.repeat(2000) })}\n`;
    const lines = row.repeat(200);
    const asks: Readonly<Record<string, (change: () => void) => Promise<unknown>>> = {
      report: (change) =>
        ask(tiny)({ ...report, name: 'report', data: { paths: [path] }, maxLength: 8 }, { ...silentAsker, report: change }),
      scan: (change) => runScan({ kind: 'scan', data: { paths: [path] } }, { send: change, stopRequested: false }),
    };
    for (const act of [() => truncateSync(path, 290_007), () => appendFileSync(path, lines), () => truncateSync(path, 0)])
      for (const asking of Object.values(asks)) {
        writeFileSync(path, lines);
        let acted = false;
        const change = () => {
          if (!acted) act();
          acted = true;
        };
        await expect(asking(change)).rejects.toMatchObject({
          code: 'data-invalid',
          message: `${path} was changed while it was being read.`,
        });
      }
  });
});
