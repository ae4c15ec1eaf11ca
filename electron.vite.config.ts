import { svelte } from '@sveltejs/vite-plugin-svelte';
import { defineConfig } from 'electron-vite';
import { mkdirSync, writeFileSync } from 'node:fs';
import { relative, resolve } from 'node:path';
import type { Plugin } from 'vite';

const root = import.meta.dirname;

/** Writes down which packages have code or styles in a part of the build, for the notices of the packed application. */
function listBundledPackages(part: string): Plugin {
  const folders = new Set<string>();
  return {
    name: 'list-bundled-packages',
    generateBundle(_options, bundle) {
      const chunks = Object.values(bundle).filter((file) => file.type === 'chunk');
      // A module that was shaken out of the code may still have brought styles, so every module of a chunk counts.
      for (const id of chunks.flatMap((chunk) => chunk.moduleIds)) {
        const file = relative(root, id.replace(/^\0+/, '').replace(/\?.*$/, '')).replaceAll('\\', '/');
        const folder = /^.*node_modules\/(?:@[^/]+\/)?[^/]+/.exec(file)?.[0];
        if (folder !== undefined) folders.add(folder);
      }
      mkdirSync(resolve(root, 'out/bundled'), { recursive: true });
      writeFileSync(resolve(root, `out/bundled/${part}.json`), JSON.stringify([...folders].sort(), null, 2) + '\n');
    },
  };
}

export default defineConfig({
  main: {
    plugins: [listBundledPackages('main')],
    build: {
      outDir: 'out/main',
      rollupOptions: {
        input: { main: resolve(root, 'electron/main.ts') },
        output: { format: 'es', entryFileNames: '[name].js' },
      },
    },
  },
  preload: {
    plugins: [listBundledPackages('preload')],
    build: {
      outDir: 'out/preload',
      // A sandboxed preload must be CommonJS.
      rollupOptions: {
        input: { preload: resolve(root, 'electron/preload.ts') },
        output: { format: 'cjs', entryFileNames: '[name].cjs' },
      },
    },
  },
  renderer: {
    root: resolve(root, 'renderer'),
    base: './',
    cacheDir: resolve(root, '.cache/vite'),
    // A number, because the shell lets no name be looked up.
    server: { host: '127.0.0.1' },
    plugins: [svelte({ configFile: resolve(root, 'svelte.config.js') }), listBundledPackages('renderer')],
    build: {
      outDir: resolve(root, 'out/renderer'),
      // The pinned Electron is newer; this is the oldest engine a window of ours runs on.
      target: 'chrome130',
      assetsInlineLimit: 0,
      modulePreload: { polyfill: false },
      rollupOptions: { input: resolve(root, 'renderer/index.html') },
    },
  },
});
