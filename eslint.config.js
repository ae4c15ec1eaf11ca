import js from '@eslint/js';
import svelte from 'eslint-plugin-svelte';
import globals from 'globals';
import ts from 'typescript-eslint';

export default ts.config(
  { ignores: ['node_modules/', 'out/', 'dist/', '.cache/', 'test-results/'] },
  js.configs.recommended,
  ts.configs.recommended,
  svelte.configs.recommended,
  {
    rules: {
      '@typescript-eslint/no-explicit-any': 'error',
      '@typescript-eslint/no-unused-vars': [
        'error',
        { argsIgnorePattern: '^_', varsIgnorePattern: '^_', caughtErrors: 'none' },
      ],
      // TypeScript checks names itself.
      'no-undef': 'off',
      // Bytes and control characters are what our parsers look for.
      'no-control-regex': 'off',
      // State is replaced as a whole ($state.raw), never mutated in place.
      'svelte/prefer-svelte-reactivity': 'off',
      // A written space beside an element is what prettier makes of it.
      'svelte/no-useless-mustaches': 'off',
      // Named snippets beside `children` read better when all are written alike.
      'svelte/no-useless-children-snippet': 'off',
      eqeqeq: ['error', 'always', { null: 'ignore' }],
      'prefer-const': ['error', { destructuring: 'all' }],
      'no-restricted-imports': [
        'error',
        { patterns: [{ group: ['**/electron/*'], message: 'Only the shell imports the shell.' }] },
      ],
    },
  },
  {
    files: ['{engine,electron,e2e,bench,resources}/**/*.ts'],
    languageOptions: {
      globals: globals.node,
      parserOptions: {
        project: ['./tsconfig.json', './tsconfig.electron.json', './tsconfig.e2e.json'],
        tsconfigRootDir: import.meta.dirname,
      },
    },
    rules: {
      '@typescript-eslint/no-floating-promises': 'error',
      '@typescript-eslint/no-misused-promises': ['error', { checksVoidReturn: false }],
      '@typescript-eslint/await-thenable': 'error',
    },
  },
  {
    // The studio opens no connection but for a download somebody asked for and an endpoint at an address that somebody typed; import rules hold the same of Node's own modules.
    files: ['{engine,electron,renderer}/**/*.{ts,svelte}'],
    ignores: ['engine/runtime/{download,endpoint}.ts', '**/*.test.ts'],
    rules: {
      'no-restricted-globals': [
        'error',
        ...['fetch', 'WebSocket', 'EventSource', 'XMLHttpRequest'].map((name) => ({
          name,
          message: 'What is fetched is fetched by engine/runtime/download.ts; endpoint.ts asks an address that a person typed.',
        })),
      ],
    },
  },
  {
    files: ['electron/**/*.ts'],
    rules: {
      'no-restricted-imports': [
        'error',
        {
          name: 'electron',
          importNames: ['autoUpdater', 'crashReporter', 'net'],
          message: 'The shell has no network.',
        },
      ],
      'no-restricted-properties': [
        'error',
        { object: 'shell', property: 'openExternal', message: 'Nothing leads out of the window, into a browser neither.' },
      ],
      // Every message of the window is checked in one place, relay.ts.
      'no-restricted-syntax': [
        'error',
        {
          selector: "CallExpression[callee.object.name='ipcMain'][callee.property.name=/^(handle|on|once|handleOnce)$/]",
          message: 'Requests of the window are answered in relay.ts only, where the sender is checked.',
        },
      ],
    },
  },
  { files: ['electron/relay.ts'], rules: { 'no-restricted-syntax': 'off' } },
  { files: ['{scripts,bin,interop}/**/*.mjs', '*.js', '*.cjs'], languageOptions: { globals: globals.node } },
  {
    files: ['renderer/**/*.svelte', 'renderer/**/*.svelte.ts'],
    languageOptions: { globals: globals.browser, parserOptions: { parser: ts.parser, extraFileExtensions: ['.svelte'] } },
    // $props() is destructured with let for the sake of those that are bound.
    rules: { 'prefer-const': 'off' },
  },
  {
    files: ['renderer/**/*.svelte', 'renderer/**/*.ts'],
    rules: {
      'svelte/no-at-html-tags': 'error',
      'no-restricted-syntax': [
        'error',
        {
          selector: 'MemberExpression[property.name=/^(innerHTML|outerHTML|insertAdjacentHTML|srcdoc)$/]',
          message: 'What a model or a file says is shown as text, never read as HTML.',
        },
      ],
    },
  },
);
