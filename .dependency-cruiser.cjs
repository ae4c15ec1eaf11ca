// Who may import what: the table of ARCHITECTURE.md, held by a check. Tests stand beside their file and may look further.
const test = '\\.test\\.ts$';
const engineOnly = (name, from, allowed) => ({
  name,
  severity: 'error',
  from: { path: from, pathNot: test },
  to: { path: '^(engine|electron|renderer)/', pathNot: allowed },
});
const only = (name, module, owners) => ({
  name,
  severity: 'error',
  from: { path: '^(engine|electron|renderer)/', pathNot: [test, ...owners] },
  to: { path: `node_modules/${module}/` },
});

// What a recipe is, with the folder that holds its fields, its check and its texts.
const recipe = '^engine/recipe(/|\\.ts$)';
// Types of the session that a room is handed; the module itself never loads there.
const session = '^engine/runtime/session\\.ts$';

/** @type {import('dependency-cruiser').IConfiguration} */
module.exports = {
  forbidden: [
    engineOnly(
      'the-ground-floor-imports-nothing',
      '^engine/(recipe/.*|(answered-first|recipe|problem|random|labels|measures|data-files|mapped-text|nearest-word|unseen-characters|mixing|mix-methods)\\.ts$)',
      [recipe, '^engine/(problem|nearest-word)\\.ts$'],
    ),
    engineOnly('contract-is-types-of-recipe-and-problem', '^engine/contract(/|\\.ts$)', [
      recipe,
      '^engine/(contract/|(problem|measures|mapped-text|mixing|mix-methods)\\.ts$)',
    ]),
    {
      name: 'the-contract-is-read-whole',
      comment: 'Its files by domain are its own; everybody else imports engine/contract.ts.',
      severity: 'error',
      from: { pathNot: '^engine/contract(/|\\.ts$)' },
      to: { path: '^engine/contract/' },
    },
    engineOnly('formats-know-bytes-only', '^engine/formats/', ['^engine/formats/', '^engine/problem\\.ts$']),
    engineOnly('graph-knows-graphs-only', '^engine/graph/', ['^engine/(graph/|formats/float\\.ts)', '^engine/problem\\.ts$']),
    // The rooms in their order: each names those below it that it may import, and none imports one above.
    engineOnly('models-know-files', '^engine/models/', ['^engine/(formats|models)/', '^engine/(problem|contract)\\.ts$']),
    engineOnly('data-knows-models', '^engine/data/', [
      '^engine/(formats|models|data)/',
      recipe,
      '^engine/(labels|problem|data-files|mapped-text|nearest-word|unseen-characters|mixing|contract)\\.ts$',
    ]),
    engineOnly('adapters-know-models-and-data', '^engine/adapters/', [
      '^engine/(formats|models|data|adapters)/',
      recipe,
      '^engine/(problem|random|nearest-word|mix-methods|contract)\\.ts$',
    ]),
    engineOnly('decoder-knows-graphs-models-and-adapters', '^engine/decoder/', [
      '^engine/(graph|models|adapters|decoder)/',
      '^engine/problem\\.ts$',
      session,
    ]),
    engineOnly('training-knows-the-decoder-and-no-data', '^engine/training/', [
      '^engine/(formats|graph|models|adapters|decoder|training)/',
      recipe,
      '^engine/(labels|problem|random|measures|contract)\\.ts$',
      session,
    ]),
    engineOnly('export-knows-the-decoder-and-no-training', '^engine/export/', [
      '^engine/(formats|graph|models|data|adapters|decoder|export)/',
      recipe,
      '^engine/(labels|problem|contract)\\.ts$',
      session,
    ]),
    engineOnly('evaluate-knows-data', '^engine/evaluate/', [
      '^engine/(data|evaluate)/',
      '^engine/(labels|problem|random|measures|recipe|nearest-word|contract)\\.ts$',
    ]),
    engineOnly('serve-knows-requests-and-answers', '^engine/serve/', [
      '^engine/serve/',
      '^engine/evaluate/calls-in-text\\.ts$',
      '^engine/(problem|nearest-word|contract)\\.ts$',
    ]),
    engineOnly('runtime-knows-files', '^engine/runtime/', [
      '^engine/(formats|runtime)/',
      '^engine/(problem|contract|versions)\\.ts$',
    ]),
    {
      name: 'who-runs-graphs-is-handed-a-session',
      severity: 'error',
      from: { path: '^engine/(decoder|training|export)/', pathNot: test },
      to: { path: '^engine/runtime/', dependencyTypesNot: ['type-only'] },
    },
    engineOnly('store-knows-contract-and-files-only', '^engine/store/', [
      '^engine/store/',
      '^engine/formats/files\\.ts$',
      recipe,
      '^engine/(contract|problem|measures)\\.ts$',
    ]),
    {
      name: 'the-host-parses-no-models',
      comment: 'It answers everybody at once, so whatever takes time is read in a job.',
      severity: 'error',
      from: { path: '^engine/(host/|host\\.ts$|store/)', pathNot: test },
      to: {
        path: '^engine/(models/(open|open-hub|open-gguf|stored-model)|adapters/(adapted|folder|foreign|peft)|data/(tokenizer|rows|row-encoder|fields|readers/[^/]+)|formats/(gguf|safetensors))\\.ts$',
      },
    },
    {
      name: 'helpers-of-tests-are-for-tests',
      severity: 'error',
      from: { path: '^(engine|electron|renderer)/', pathNot: [test, '^engine/testing/'] },
      to: { path: '^engine/testing/' },
    },
    engineOnly('engine-knows-no-window', '^engine/', ['^engine/']),
    engineOnly('shell-knows-contract-and-rpc', '^electron/', [
      '^electron/',
      '^engine/(contract|problem|data-files|rpc|host/request-shapes)\\.ts$',
    ]),
    engineOnly('window-knows-contract-and-recipe', '^renderer/', [
      '^renderer/',
      recipe,
      '^engine/(answered-first|contract|problem|measures|data-files|mapped-text|mixing|mix-methods|unseen-characters)\\.ts$',
    ]),
    engineOnly('drawing-knows-no-state', '^renderer/(ui|charts)/', ['^renderer/(ui|charts|styles)/']),
    only('one-owner-of-the-runtime', 'onnxruntime-(node|common)', ['^engine/runtime/session\\.ts$']),
    only('one-owner-of-sql', 'better-sqlite3', ['^engine/store/', '^engine/testing/']),
    only('one-owner-of-templates-and-tokenizers', '(tokenizers|@huggingface/jinja)', ['^engine/data/']),
    only('electron-in-the-shell-only', 'electron', ['^electron/']),
    {
      name: 'host-and-clients-speak-by-a-local-socket',
      severity: 'error',
      from: {
        path: '^(engine|electron|renderer)/',
        pathNot: [test, '^engine/(host|rpc|frames|lock|testing/soak|serve/endpoint)\\.ts$'],
      },
      to: { path: '^(node:)?net$' },
    },
    {
      // Downloads use the global fetch, which eslint leaves to engine/runtime/download.ts.
      name: 'no-other-connection',
      severity: 'error',
      from: { path: '^(engine|electron|renderer)/', pathNot: test },
      to: { path: '^(node:)?(dgram|dns|dns/promises|http2|https|tls)$' },
    },
    {
      name: 'one-endpoint',
      comment: 'It is connected to, and connects to nobody; that it listens on this computer alone is held by its tests.',
      severity: 'error',
      from: { path: '^(engine|electron|renderer)/', pathNot: [test, '^engine/serve/'] },
      to: { path: '^(node:)?http$' },
    },
    {
      name: 'no-node-in-the-window',
      severity: 'error',
      from: { path: '^renderer/', pathNot: test },
      to: { dependencyTypes: ['core'] },
    },
    // Of types neither: two files that need each other's types are one file, or have a third below them.
    { name: 'no-circles', severity: 'error', from: {}, to: { circular: true } },
    { name: 'no-unresolved', severity: 'error', from: { path: '^(engine|electron|renderer)/' }, to: { couldNotResolve: true } },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    exclude: { path: '^(out|dist|interop)/' },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.renderer.json' },
    enhancedResolveOptions: { exportsFields: ['exports'], conditionNames: ['svelte', 'import', 'node', 'default'] },
    // Provided by Electron at run time; its package is listed for its types.
    builtInModules: { add: ['electron'] },
  },
};
