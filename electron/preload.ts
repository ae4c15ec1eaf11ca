/** Exposes the whole bridge between page and shell: `request`, `cancel` and `on`. No Electron object ever reaches the page. */
import { contextBridge, ipcRenderer, webUtils } from 'electron';
import type { StudioBridge } from '../engine/contract.ts';
import { cancelChannel, dropChannel, eventChannel, requestChannel } from './channels.ts';

const listeners = new Map<string, Set<(payload: never) => void>>();
ipcRenderer.on(eventChannel, (_event, name: string, payload: unknown) => {
  for (const listener of [...(listeners.get(name) ?? [])]) listener(payload as never);
});

const bridge: StudioBridge = {
  request: (name, params, ticket) => ipcRenderer.invoke(requestChannel, name, params, ticket) as never,
  cancel: (ticket) => ipcRenderer.send(cancelChannel, ticket),
  on: (name, listener) => {
    const group = listeners.get(name) ?? new Set();
    listeners.set(name, group.add(listener as (payload: never) => void));
    return () => void group.delete(listener as (payload: never) => void);
  },
};
contextBridge.exposeInMainWorld('studio', bridge);

// Only this script can find out where a dropped file lies; the shell then allows the page these paths and tells it of them. A
// drop that a script made up is ignored, and so is text dragged within the page.
const carriesFiles = (event: DragEvent): boolean => event.dataTransfer?.types.includes('Files') === true;
window.addEventListener('dragover', (event) => {
  if (carriesFiles(event)) event.preventDefault();
});
window.addEventListener('drop', (event) => {
  if (!event.isTrusted || !carriesFiles(event)) return;
  event.preventDefault();
  const paths = [...event.dataTransfer!.files].map((file) => webUtils.getPathForFile(file)).filter((path) => path !== '');
  if (paths.length > 0) ipcRenderer.send(dropChannel, paths);
});
