// Called by electron-builder when a folder is put together, before its fuses are set and it is signed: removes what only a checkout
// needs and adds the notices of all that lies in it.
import fs from 'node:fs';
import path from 'node:path';
import { nodeBinary, readJson, root, SetupError } from '../setup.mjs';
import { bundledPackages } from './bundled.mjs';
import { fontsIn, packagesIn } from './contents.mjs';
import { writeNotices } from './notices.mjs';

const architectures = { 1: 'x64', 3: 'arm64' };

export default async function afterPack({ appOutDir, electronPlatformName, arch, packager }) {
  const resources = packager.getResourcesDir(appOutDir);
  fs.rmSync(path.join(resources, 'default_app.asar'), { force: true });
  fs.rmSync(path.join(appOutDir, 'version'), { force: true });
  if (electronPlatformName === 'darwin') copyElectronTexts(packager.config.electronDist, resources);
  const notices = writeNotices({
    packages: packagesIn(resources),
    bundled: bundledPackages(),
    fonts: fontsIn(resources),
    node: shippedNode(electronPlatformName, architectures[arch]),
    electron: packager.config.electronVersion,
  });
  fs.writeFileSync(path.join(resources, 'NOTICES.txt'), notices);
}

/** On macOS only what lies in the application's own folder travels. */
function copyElectronTexts(dist, resources) {
  for (const [from, to] of [
    ['LICENSE', 'LICENSE.electron.txt'],
    ['LICENSES.chromium.html', 'LICENSES.chromium.html'],
  ])
    fs.copyFileSync(path.join(dist, from), path.join(resources, to));
}

/** The version and licence of the Node inside: its npm package's, or on macOS those of the Node that packs. */
function shippedNode(platform, arch) {
  const name = `node-${platform === 'win32' ? 'win' : platform}-${arch}`;
  const folder = path.join(root, 'node_modules', name);
  if (fs.existsSync(folder)) {
    const { version } = readJson(path.join(folder, 'package.json'));
    return { version, licence: fs.readFileSync(path.join(folder, 'LICENSE'), 'utf8') };
  }
  const text = path.join(path.dirname(nodeBinary()), '..', 'LICENSE');
  if (platform !== 'darwin' || !fs.existsSync(text))
    throw new SetupError(`The Node for ${platform} ${arch} has no LICENSE beside it: use the archive from nodejs.org.`);
  return { version: process.versions.node, licence: fs.readFileSync(text, 'utf8') };
}
