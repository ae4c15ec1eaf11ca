/** The whole bridge between page and shell: `request` and `on`. No Electron object ever reaches the page. */
import { contextBridge, ipcRenderer } from 'electron';
import type { StudioBridge } from '../engine/contract.ts';
import { eventChannel, requestChannel } from './channels.ts';

const listeners = new Map<string, Set<(payload: never) => void>>();
ipcRenderer.on(eventChannel, (_event, name: string, payload: unknown) => {
  for (const listener of [...(listeners.get(name) ?? [])]) listener(payload as never);
});

const bridge: StudioBridge = {
  request: (name, params) => ipcRenderer.invoke(requestChannel, name, params) as never,
  on: (name, listener) => {
    const group = listeners.get(name) ?? new Set();
    listeners.set(name, group.add(listener as (payload: never) => void));
    return () => void group.delete(listener as (payload: never) => void);
  },
};
contextBridge.exposeInMainWorld('studio', bridge);
