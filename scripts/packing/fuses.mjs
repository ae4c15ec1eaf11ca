// Electron's fuses in a packed binary are compared with the list in electron-builder.yml.
import { FuseState, FuseV1Options, getCurrentFuseWire } from '@electron/fuses';

/**
 * Compares the fuses of a packed application with those that are wanted.
 * @param {string} executable the packed application (on macOS the folder that ends in .app)
 * @param {Record<string, boolean>} wanted `electronFuses` of electron-builder.yml
 * @returns {Promise<string[]>} one sentence for each fuse that is not as it was asked for
 */
export async function fuseProblems(executable, wanted) {
  const wire = await getCurrentFuseWire(executable);
  return Object.entries(wanted).flatMap(([name, on]) => {
    const state = wire[FuseV1Options[name[0].toUpperCase() + name.slice(1)]];
    if (state === (on ? FuseState.ENABLE : FuseState.DISABLE)) return [];
    return [`The fuse ${name} is ${FuseState[state] ?? 'unknown'} in ${executable}, and electron-builder.yml asks for ${on}.`];
  });
}
