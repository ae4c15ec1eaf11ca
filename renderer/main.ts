/** Starts the window: mounts the application on the bridge that the preload exposes. */
import { mount } from 'svelte';
import type { StudioBridge } from '../engine/contract.ts';
import App from './App.svelte';
import './styles/tokens.css';
import './styles/app.css';

declare global {
  interface Window {
    readonly studio: StudioBridge;
  }
}

const target = document.getElementById('app');
if (target === null) throw new Error('index.html has no #app');
mount(App, { target, props: { bridge: window.studio } });
