// Called by electron-builder when a folder is put together: removes what only a checkout needs and closes the runtime's back doors.
import { flipFuses, FuseV1Options, FuseVersion } from '@electron/fuses';
import fs from 'node:fs';
import path from 'node:path';

const executableNames = {
  darwin: (name) => path.join(`${name}.app`, 'Contents', 'MacOS', name),
  win32: (name) => `${name}.exe`,
  linux: (_name, linux) => linux,
};

export default async function afterPack({ appOutDir, electronPlatformName, packager }) {
  fs.rmSync(path.join(appOutDir, 'resources', 'default_app.asar'), { force: true });
  fs.rmSync(path.join(appOutDir, 'version'), { force: true });
  const name = executableNames[electronPlatformName](packager.appInfo.productFilename, packager.executableName);
  await flipFuses(path.join(appOutDir, name), {
    version: FuseVersion.V1,
    [FuseV1Options.RunAsNode]: false,
    [FuseV1Options.EnableNodeOptionsEnvironmentVariable]: false,
    [FuseV1Options.EnableNodeCliInspectArguments]: false,
    [FuseV1Options.EnableCookieEncryption]: true,
    [FuseV1Options.OnlyLoadAppFromAsar]: true,
    [FuseV1Options.LoadBrowserProcessSpecificV8Snapshot]: false,
    [FuseV1Options.GrantFileProtocolExtraPrivileges]: false,
  });
}
