/** Stores projects in the table `projects`. */
import type { Database } from 'better-sqlite3';
import type { Project } from '../contract.ts';

interface Row {
  id: string;
  name: string;
  created_at: number;
}
const fromRow = (row: Row): Project => ({ id: row.id, name: row.name, createdAt: row.created_at });

export class Projects {
  readonly #db: Database;
  constructor(db: Database) {
    this.#db = db;
  }
  list(): Project[] {
    return this.#db.prepare<[], Row>('SELECT * FROM projects ORDER BY sequence').all().map(fromRow);
  }
  get(id: string): Project | null {
    const row = this.#db.prepare<[string], Row>('SELECT * FROM projects WHERE id = ?').get(id);
    return row ? fromRow(row) : null;
  }
  byName(name: string): Project | null {
    const row = this.#db.prepare<[string], Row>('SELECT * FROM projects WHERE name = ? ORDER BY sequence').get(name);
    return row ? fromRow(row) : null;
  }
  insert(project: Project): void {
    this.#db
      .prepare('INSERT INTO projects (id, name, created_at) VALUES (?, ?, ?)')
      .run(project.id, project.name, project.createdAt);
  }
  rename(id: string, name: string): void {
    this.#db.prepare('UPDATE projects SET name = ? WHERE id = ?').run(name, id);
  }
}
