/** Stores data sets and their versions in the tables `datasets` and `dataset_versions`. */
import type { Database } from 'better-sqlite3';
import type { ColumnMapping, DataChange, DataFormat, Dataset, DatasetVersion, Mix, VersionFile } from '../contract.ts';
import { jsonArray, jsonObject, type Rows } from './rows.ts';

interface VersionRow {
  id: string;
  dataset_id: string;
  sequence: number;
  files: string;
  mapping: string | null;
  mix: string | null;
  changes: string;
  parent: number | null;
  format: string;
  train_rows: number;
  eval_rows: number;
  hash: string;
  created_at: number;
}
interface Row {
  id: string;
  project_id: string;
  name: string;
  /** Gives the present version; null: the newest. */
  version_id: string | null;
  created_at: number;
}

const fromVersionRow = (row: VersionRow): DatasetVersion => ({
  id: row.id,
  datasetId: row.dataset_id,
  sequence: row.sequence,
  files: jsonArray<VersionFile>('files', row.files),
  mapping: row.mapping === null ? null : jsonObject<ColumnMapping>('mapping', row.mapping),
  mix: row.mix === null ? null : jsonObject<Mix>('mix', row.mix),
  changes: jsonArray<DataChange>('changes', row.changes),
  parent: row.parent,
  format: row.format as DataFormat,
  trainRows: row.train_rows,
  evalRows: row.eval_rows,
  hash: row.hash,
  createdAt: row.created_at,
});

export class Datasets {
  readonly #db: Database;
  readonly #rows: Rows;
  constructor(db: Database, rows: Rows) {
    this.#db = db;
    this.#rows = rows;
  }
  list(projectId: string): Dataset[] {
    return this.#rows.list(
      'datasets',
      this.#db.prepare<[string], Row>('SELECT * FROM datasets WHERE project_id = ? ORDER BY sequence').all(projectId),
      (row) => this.#fromRow(row),
    );
  }
  get(id: string): Dataset | null {
    const row = this.#db.prepare<[string], Row>('SELECT * FROM datasets WHERE id = ?').get(id);
    return this.#rows.one('datasets', row, (found) => this.#fromRow(found));
  }
  /** Returns the data set that a version belongs to. */
  ofVersion(versionId: string): Dataset | null {
    const version = this.version(versionId);
    return version === null ? null : this.get(version.datasetId);
  }
  version(id: string): DatasetVersion | null {
    const row = this.#db.prepare<[string], VersionRow>('SELECT * FROM dataset_versions WHERE id = ?').get(id);
    return this.#rows.one('dataset_versions', row, fromVersionRow);
  }
  /** Returns the versions of a data set, the newest first. */
  versions(datasetId: string): DatasetVersion[] {
    return this.#rows.list(
      'dataset_versions',
      this.#db
        .prepare<[string], VersionRow>('SELECT * FROM dataset_versions WHERE dataset_id = ? ORDER BY sequence DESC')
        .all(datasetId),
      fromVersionRow,
    );
  }
  /** Makes a version the present one of its data set. */
  use({ id, datasetId }: Pick<DatasetVersion, 'id' | 'datasetId'>): void {
    this.#db.prepare('UPDATE datasets SET version_id = ? WHERE id = ?').run(id, datasetId);
  }
  rename(id: string, name: string): void {
    this.#db.prepare('UPDATE datasets SET name = ? WHERE id = ?').run(name, id);
  }
  /** Adds a data set with its first version. */
  insert(dataset: Dataset): void {
    this.#db.transaction(() => {
      this.#db
        .prepare('INSERT INTO datasets (id, project_id, name, created_at) VALUES (?, ?, ?, ?)')
        .run(dataset.id, dataset.projectId, dataset.name, dataset.createdAt);
      this.insertVersion(dataset.version);
    })();
  }
  /** Adds a version, which becomes the present one. */
  insertVersion(version: DatasetVersion): void {
    this.#db
      .prepare(
        `INSERT INTO dataset_versions (id, dataset_id, sequence, files, mapping, mix, changes, parent, format, train_rows, eval_rows, hash,
           created_at)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
      )
      .run(
        version.id,
        version.datasetId,
        version.sequence,
        JSON.stringify(version.files),
        version.mapping === null ? null : JSON.stringify(version.mapping),
        version.mix === null ? null : JSON.stringify(version.mix),
        JSON.stringify(version.changes),
        version.parent,
        version.format,
        version.trainRows,
        version.evalRows,
        version.hash,
        version.createdAt,
      );
    this.use(version);
  }
  /** Fills in what an earlier studio did not record of the files of a version. */
  setFiles(versionId: string, files: readonly VersionFile[]): void {
    this.#db.prepare('UPDATE dataset_versions SET files = ? WHERE id = ?').run(JSON.stringify(files), versionId);
  }
  remove(id: string): void {
    this.#db.prepare('DELETE FROM datasets WHERE id = ?').run(id);
  }

  #fromRow(row: Row): Dataset {
    const version = this.#db
      .prepare<[string, string | null], VersionRow>(
        'SELECT * FROM dataset_versions WHERE dataset_id = ? ORDER BY id IS ? DESC, sequence DESC',
      )
      .get(row.id, row.version_id);
    if (version === undefined) throw new Error('it has no version');
    return {
      id: row.id,
      projectId: row.project_id,
      name: row.name,
      createdAt: row.created_at,
      version: fromVersionRow(version),
    };
  }
}
