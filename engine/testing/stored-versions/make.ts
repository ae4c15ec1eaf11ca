/**
 * Writes `N.sql` beside this file for every version of the tables that has none yet: a database of that version with things in
 * it, as statements. An existing file is kept, because it shows how such a database really was. `node
 * engine/testing/stored-versions/make.ts`
 */
import { existsSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import Database from 'better-sqlite3';
import { migrate, migrations } from '../../store/migrate.ts';

/** Inserts rows once a version is reached; later versions keep them. */
const contents: Readonly<Record<number, string>> = {
  1: `
    INSERT INTO projects (id, name, created_at) VALUES ('p', 'Übung', 1), ('q', 'Second', 2);
    INSERT INTO models (id, project_id, path, embedded, info, created_at)
      VALUES ('m', 'p', '/models/tiny', 0, '{"name":"Tiny","family":"llama","layers":2,"linears":[]}', 3);
    INSERT INTO datasets (id, project_id, name, train_paths, eval_paths, format, train_rows, eval_rows, hash, created_at)
      VALUES ('d', 'p', 'it''s rows', '["/a.jsonl"]', '[]', 'messages', 3, 0, 'h', 4);
    INSERT INTO runs (id, project_id, name, colour, state, phase, model_id, model_name, model_path, dataset_id, dataset_name, job,
        recipe, device, out, step, total_steps, seconds_left, problem, notes, tags, process, created_at, finished_at)
      VALUES
        ('r', 'p', 'First', 1, 'done', '', 'm', 'Tiny', '/models/tiny', 'd', 'rows', '{"dataPaths":["/a.jsonl"]}', '{"rank":4}', 'cpu',
          '/runs/r', 3, 3, NULL, NULL, 'a note', '["a"]', NULL, 5, 9),
        ('s', 'q', 'Second', 8, 'failed', '', NULL, 'Tiny', '/models/tiny', NULL, 'rows', '{"dataPaths":[]}', '{"rank":8}', 'cpu',
          '/runs/s', 1, 9, 2.5, '{"code":"disk-full","message":"Full.","hint":"Free."}', '', '[]', NULL, 6, 10),
        ('t', 'p', 'Third', 2, 'interrupted', '', 'm', 'Tiny', '/models/tiny', 'd', 'rows', '{}', '{}', 'cuda', '/runs/t', 0, 5, NULL,
          NULL, '', '[]', '{"pid":4,"started":"77"}', 7, NULL);
    INSERT INTO step_metrics VALUES
      ('r', 1, 3.5, 0.001, 2, 10, 12, 0.5, 1000, 0), ('r', 2, 2.25, 0.001, 2, 10, 12, 0.25, 3000, 0.5),
      ('r', 3, 2.5, 0.0005, 1.5, 10, 12, 0.25, 2000, 1), ('s', 1, 4, 0.001, 2, 10, 12, 0.5, 1000, 0);
    INSERT INTO eval_metrics VALUES ('r', 2, 1.5), ('r', 3, 1.75);
    INSERT INTO samples VALUES ('r', 2, 0, 'Say it', 'it', 'it'), ('r', 2, 1, 'Say
      two', 'two', 'zwei');
    INSERT INTO checkpoints VALUES ('r', 3, '/runs/r/checkpoint-3', 99, 8);
    INSERT INTO log_lines (run_id, at, text) VALUES ('r', 5, 'Started.'), ('r', 9, 'Done.'), ('s', 10, 'Full.');
    INSERT INTO adapters (id, project_id, name, path, run_id, run_name, step, model_id, model_name, model_path, dataset_name, rank,
        alpha, target_modules, parameters, bytes, hash, eval_loss, tag, created_at)
      VALUES ('a', 'p', 'First', '/runs/r/adapter', 'r', 'First', 3, 'm', 'Tiny', '/models/tiny', 'rows', 4, 8, '["q_proj"]', 64, 256,
        'h', 1.75, 'best', 11);
    INSERT INTO exports (id, project_id, adapter_id, adapter_name, model_name, format, quantization, path, bytes, state, proof, problem,
        created_at)
      VALUES ('e', 'p', 'a', 'First', 'Tiny', 'gguf', 'q8_0', '/e.gguf', 5, 'done', NULL, NULL, 12);
    INSERT INTO sample VALUES (1, '{"phase":"done","projectId":"p"}');`,
  3: `INSERT INTO memory_measures (model_path, recipe, longest, bytes, run_name) VALUES ('/models/tiny', '{"rank":4}', 12, 3000, 'First');`,
  4: `UPDATE exports SET files = '[{"name":"e.gguf","bytes":5,"sha256":"00"}]';`,
  6: `INSERT INTO queue VALUES ('t', 3, '{"maxSteps":9}', '{"dataPaths":["/a.jsonl"]}', 2);
    UPDATE runs SET metrics_read = 77, events_read = 99 WHERE id = 't';`,
  9: `UPDATE runs SET version_id = 'd-1' WHERE id = 'r';`,
  13: `
    INSERT INTO datasets (id, project_id, name, created_at) VALUES ('x', 'p', 'Mixed', 13);
    INSERT INTO dataset_versions (id, dataset_id, sequence, files, mix, format, train_rows, eval_rows, hash, created_at)
      VALUES ('x-1', 'x', 1, '[{"path":"/a.jsonl","split":"train","bytes":9,"sha256":"00"}]',
        '{"parts":[{"name":"rows","data":{"paths":["/a.jsonl"]},"repeat":1.5,"version":{"id":"d-1","sequence":1,"dataset":"rows"}}],"seed":7}',
        'messages', 5, 0, 'h', 13);`,
  14: `
    INSERT INTO evaluations (id, project_id, name, state, model_name, model_path, data_name, request, contestants, rows, answered, answers,
        rows_hash, verdict, problem, created_at, finished_at)
      VALUES ('v', 'p', 'base, adapter', 'done', 'Tiny', '/models/tiny', 'rows',
        '{"model":{"id":"m"},"data":{"versionId":"d-1"},"contestants":[{},{"adapter":{"id":"a"}}],"evaluators":["json"]}',
        '["base","First"]', 3, 6, 6, 'h', '{"code":"cannot-tell","sentence":"Cannot tell."}', NULL, 14, 15);`,
};

for (let version = 1; version <= migrations.length; version++) {
  const path = fileURLToPath(new URL(`./${version}.sql`, import.meta.url));
  if (existsSync(path)) continue;
  const db = new Database(':memory:');
  db.pragma('foreign_keys = ON');
  for (let reached = 1; reached <= version; reached++) {
    migrate(db, reached);
    db.exec(contents[reached] ?? '');
  }
  writeFileSync(path, dump(db));
  db.close();
}

function dump(db: Database.Database): string {
  const things = db
    .prepare<[], { type: string; name: string; sql: string }>(
      "SELECT type, name, sql FROM sqlite_schema WHERE sql IS NOT NULL AND name <> 'sqlite_sequence' ORDER BY rowid",
    )
    .all();
  const rows = things
    .filter(({ type }) => type === 'table')
    .flatMap(({ name }) =>
      db
        .prepare<[], unknown[]>(`SELECT * FROM ${name}`)
        .raw()
        .all()
        .map((values) => `INSERT INTO ${name} VALUES (${values.map(literal).join(', ')});`),
    );
  const version = db.pragma('user_version', { simple: true }) as number;
  return [...things.map(({ sql }) => `${sql};`), ...rows, `PRAGMA user_version = ${version};`, ''].join('\n');
}

function literal(value: unknown): string {
  if (value === null) return 'NULL';
  return typeof value === 'string' ? `'${value.replaceAll("'", "''")}'` : String(value);
}
