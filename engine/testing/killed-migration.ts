/** Opens the store of a folder, and is killed at the n-th call that reaches the disk. Arguments: folder, n. */
import fs from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import Database from 'better-sqlite3';

const [folder, at] = process.argv.slice(2) as [string, string];
let count = 0;
const call = (): void => {
  if (++count === Number(at)) process.kill(process.pid, 'SIGKILL');
};

/** Matches statements. A migration is one call of many statements, each of which counts. */
const statements = /;\s*\n/;
const exec = Database.prototype.exec;
Database.prototype.exec = function (this: Database.Database, sql: string) {
  for (const statement of sql.split(statements)) {
    call();
    exec.call(this, statement);
  }
  return this;
};
const prepare = Database.prototype.prepare;
Database.prototype.prepare = function (this: Database.Database, sql: string) {
  call();
  return prepare.call(this, sql);
} as typeof prepare;
const pragma = Database.prototype.pragma;
Database.prototype.pragma = function (this: Database.Database, source, options) {
  call();
  return pragma.call(this, source, options);
};
const functions = fs as unknown as Record<string, (...args: unknown[]) => unknown>;
for (const name of ['openSync', 'fsyncSync', 'renameSync', 'mkdirSync', 'rmSync', 'copyFileSync', 'chmodSync', 'writeSync']) {
  const own = functions[name]!;
  functions[name] = (...args) => {
    call();
    return own(...args);
  };
}
syncBuiltinESMExports();

const { openStore } = await import('../store/open.ts');
openStore(folder).close();
console.log(count);
