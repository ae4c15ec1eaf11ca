#!/usr/bin/env node
// Makes a .deb out of the orders that electron-builder gives to the program fpm (CUSTOM_FPM_PATH), with dpkg-deb alone: fpm itself is
// a download from a host that not every machine that packs can reach. An order it does not know is refused, so that none is lost.
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';

const single = ['architecture', 'after-install', 'after-remove', 'description', 'version', 'package', 'name', 'maintainer'];
const passedOver = ['vendor', 'license', 'url'];
const orders = { depends: [], recommends: [], files: [] };
const args = process.argv.slice(2);
for (let at = 0; at < args.length; at++) {
  const name = args[at];
  if (name === '--force') continue;
  if (!name.startsWith('-')) orders.files.push(name);
  else if (name === '-s') expect(args[++at], 'dir');
  else if (name === '-t') expect(args[++at], 'deb');
  else if (name === '-d') orders.depends.push(args[++at]);
  else if (name === '--deb-recommends') orders.recommends.push(args[++at]);
  else if (['--deb-compression', '--deb-priority', '--category'].includes(name))
    orders[name.replace(/^--(deb-)?/, '')] = args[++at];
  else if (single.includes(name.slice(2))) orders[name.slice(2)] = args[++at];
  else if (passedOver.includes(name.slice(2))) at++;
  else fail(`the order ${name} is not known`);
}

const work = fs.mkdtempSync(path.join(os.tmpdir(), 'deb-'));
try {
  fs.chmodSync(work, 0o755);
  for (const order of orders.files) copy(order);
  const control = path.join(work, 'DEBIAN');
  fs.mkdirSync(control);
  const installed = Number(execFileSync('du', ['-sk', work], { encoding: 'utf8' }).split('\t')[0]);
  const [synopsis, ...rest] = orders.description.split('\n').map((line) => line.trim());
  const fields = {
    Package: orders.name,
    Version: orders.version,
    Architecture: orders.architecture,
    Maintainer: orders.maintainer,
    'Installed-Size': installed,
    Depends: orders.depends.join(', '),
    Recommends: orders.recommends.join(', '),
    Section: orders.category ?? 'science',
    Priority: orders.priority ?? 'optional',
    Description: [synopsis || orders.name, ...rest.filter((line) => line !== '').map((line) => ` ${line}`)].join('\n'),
  };
  const lines = Object.entries(fields).filter(([, value]) => value !== undefined && value !== '');
  fs.writeFileSync(path.join(control, 'control'), lines.map(([name, value]) => `${name}: ${value}\n`).join(''));
  for (const [order, name] of [
    ['after-install', 'postinst'],
    ['after-remove', 'postrm'],
  ]) {
    if (orders[order] === undefined) continue;
    fs.copyFileSync(orders[order], path.join(control, name));
    fs.chmodSync(path.join(control, name), 0o755);
  }
  const compression = orders.compression === 'gz' ? 'gzip' : (orders.compression ?? 'xz');
  execFileSync('dpkg-deb', ['--root-owner-group', `-Z${compression}`, '--build', work, orders.package], {
    stdio: ['ignore', 'ignore', 'inherit'],
  });
} finally {
  fs.rmSync(work, { recursive: true, force: true });
}

/** `from=to`: a folder's content where `from` ends in a slash, else one file. */
function copy(order) {
  const [from, to] = order.split('=');
  if (!to?.startsWith('/')) fail(`the file ${order} names no place`);
  const target = path.join(work, to);
  fs.mkdirSync(path.dirname(target), { recursive: true });
  fs.cpSync(from, target, { recursive: true, verbatimSymlinks: true });
  if (fs.statSync(target).isFile()) fs.chmodSync(target, 0o644);
}
function expect(value, wanted) {
  if (value !== wanted) fail(`only ${wanted} is made here, not ${value}`);
}
function fail(why) {
  process.stderr.write(`fpm.mjs: ${why}.\n`);
  process.exit(1);
}
