// What Electron itself would start with: electron [-r FILE]... [switches] APP. The stand-in runtime has no default application.
// An ES module, because a CommonJS one would let `ready` fire before the application is loaded.
import { app } from 'electron';
import fs from 'node:fs';
import Module from 'node:module';
import path from 'node:path';
import { pathToFileURL } from 'node:url';

const preloads = [];
let target = null;
for (let i = 1; i < process.argv.length && target === null; i++) {
  const argument = process.argv[i];
  if (argument === '-r' || argument === '--require') preloads.push(path.resolve(process.argv[++i]));
  else if (!argument.startsWith('-')) target = path.resolve(argument);
}
if (target === null) {
  console.error('usage: electron [-r FILE] [switches] APP');
  process.exit(1);
}

Module._preloadModules(preloads);
Object.defineProperty(process, 'defaultApp', { configurable: false, enumerable: true, value: true });

let main = target;
let type = 'commonjs';
if (fs.statSync(target).isDirectory()) {
  const manifest = JSON.parse(fs.readFileSync(path.join(target, 'package.json'), 'utf8'));
  if (manifest.version) app.setVersion(manifest.version);
  app.name = manifest.productName ?? manifest.name ?? app.name;
  app.setAppPath(target);
  main = path.join(target, manifest.main ?? 'index.js');
  type = manifest.type ?? type;
} else {
  app.setAppPath(path.dirname(target));
}

try {
  const isModule = main.endsWith('.mjs') || (type === 'module' && !main.endsWith('.cjs'));
  if (isModule) await import(pathToFileURL(main).href);
  else Module._load(main, null, true);
} catch (error) {
  console.error('The application could not be loaded.');
  console.error(error?.stack ?? error);
  process.exit(1);
}
