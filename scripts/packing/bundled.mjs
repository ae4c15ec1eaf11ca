// Lists the packages whose code went into the window, the shell and its preload, as the build wrote them down
// (electron.vite.config.ts).
import fs from 'node:fs';
import path from 'node:path';
import { readJson, root } from '../setup.mjs';

/** Reads the list of packages that the build wrote. @returns {{ name: string, version: string, folder: string }[]} */
export function bundledPackages(folder = path.join(root, 'out', 'bundled')) {
  const files = ['main', 'preload', 'renderer'].map((part) => path.join(folder, `${part}.json`));
  const folders = new Set(files.flatMap((file) => JSON.parse(fs.readFileSync(file, 'utf8'))));
  return [...folders].map((name) => {
    const own = path.join(root, name);
    const { name: packageName, version } = readJson(path.join(own, 'package.json'));
    return { name: packageName, version, folder: own };
  });
}
