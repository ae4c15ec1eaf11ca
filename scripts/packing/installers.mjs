// Makes the installers of this system from a packed folder, with an SBOM and SHA-512 sums beside them.
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { npmCommand, onPath, readJson, root, runQuietly, say } from '../setup.mjs';

/**
 * Writes the installers of this system.
 * @param {{ node: string, builder: string, prepackaged: string, output: string, options: string[], targets: string[] }} order targets:
 *   electron-builder's names, all of this system when empty
 * @returns {Promise<string[]>} the installers' files
 */
export async function writeInstallers({ node, builder, prepackaged, output, options, targets }) {
  say('Making the installers');
  // The same .deb everywhere, whether or not the host of electron-builder's tools can be reached.
  if (onPath('dpkg-deb')) process.env.CUSTOM_FPM_PATH ??= path.join(root, 'scripts', 'packing', 'fpm.mjs');
  const system = { linux: '--linux', win32: '--win', darwin: '--mac' }[process.platform];
  const order = [builder, system, ...targets, '--prepackaged', prepackaged, '--publish=never', ...options];
  await runQuietly(node, order, 'installers');
  const files = fs.readdirSync(output).filter((name) => /\.(AppImage|deb|dmg|exe)$/.test(name));
  fs.writeFileSync(path.join(output, 'sbom.cdx.json'), softwareList());
  const sums = [...files, 'sbom.cdx.json'].map(
    (name) =>
      `${createHash('sha512')
        .update(fs.readFileSync(path.join(output, name)))
        .digest('hex')}  ${name}\n`,
  );
  fs.writeFileSync(path.join(output, 'SHA512SUMS'), sums.join(''));
  say(`In ${output}: ${[...files, 'sbom.cdx.json', 'SHA512SUMS'].join(', ')}.`);
  return files.map((name) => path.join(root, output, name));
}

/** A CycloneDX list of the packages by the lockfile; npm makes it without a network. What is inside them stands in NOTICES.txt. */
function softwareList() {
  const [command, ...args] = npmCommand();
  const order = [
    'sbom',
    '--sbom-format=cyclonedx',
    '--sbom-type=application',
    '--package-lock-only',
    '--omit=dev',
    '--offline',
  ];
  const list = JSON.parse(execFileSync(command, [...args, ...order], { cwd: root, encoding: 'utf8', maxBuffer: 1 << 26 }));
  // npm names the application after the folder it lies in.
  list.metadata.component.name = readJson(path.join(root, 'package.json')).name;
  return `${JSON.stringify(list, null, 2)}\n`;
}
