/** The whole bridge between page and shell: `request` and `on`. No Electron object ever reaches the page. */
import { contextBridge, ipcRenderer, webUtils } from 'electron';
import type { AllEvents, EventName, StudioBridge } from '../engine/contract.ts';
import { eventChannel, requestChannel } from './channels.ts';

const listeners = new Map<string, Set<(payload: never) => void>>();
function deliver(name: string, payload: unknown): void {
  for (const listener of [...(listeners.get(name) ?? [])]) listener(payload as never);
}
ipcRenderer.on(eventChannel, (_event, name: string, payload: unknown) => deliver(name, payload));

const bridge: StudioBridge = {
  request: (name, params) => ipcRenderer.invoke(requestChannel, name, params) as never,
  on: (name, listener) => {
    const group = listeners.get(name) ?? new Set();
    listeners.set(name, group.add(listener as (payload: never) => void));
    return () => void group.delete(listener as (payload: never) => void);
  },
};
contextBridge.exposeInMainWorld('studio', bridge);

// Only here is it known where a dropped file lies. Text dragged within the page stays the page's business.
const carriesFiles = (event: DragEvent): boolean => event.dataTransfer?.types.includes('Files') === true;
window.addEventListener('dragover', (event) => {
  if (carriesFiles(event)) event.preventDefault();
});
window.addEventListener('drop', (event) => {
  if (!carriesFiles(event)) return;
  event.preventDefault();
  const paths = [...event.dataTransfer!.files].map((file) => webUtils.getPathForFile(file)).filter((path) => path !== '');
  if (paths.length > 0) deliver('shell.dropped' satisfies EventName, { paths } satisfies AllEvents['shell.dropped']);
});
