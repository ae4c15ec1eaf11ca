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

/** @type {import('dependency-cruiser').IConfiguration} */
module.exports = {
  forbidden: [
    engineOnly('recipe-and-problem-import-nothing', '^engine/(recipe|recipe-names|problem)\\.ts$', [
      '^engine/(recipe-names|problem)\\.ts$',
    ]),
    engineOnly('contract-is-types-of-recipe-and-problem', '^engine/contract\\.ts$', ['^engine/(recipe|problem)\\.ts$']),
    engineOnly('formats-know-bytes-only', '^engine/formats/', ['^engine/formats/', '^engine/problem\\.ts$']),
    engineOnly('graph-knows-graphs-only', '^engine/graph/', ['^engine/graph/', '^engine/problem\\.ts$']),
    engineOnly('models-data-training-are-handed-their-session', '^engine/(models|data|training)/', [
      '^engine/(formats|graph|models|data|training)/',
      '^engine/(problem|recipe|contract)\\.ts$',
      // Types of the session they are handed; the module itself never loads (see the next rule).
      '^engine/runtime/session\\.ts$',
    ]),
    {
      name: 'models-data-training-never-load-the-runtime',
      severity: 'error',
      from: { path: '^engine/(models|data|training)/', pathNot: test },
      to: { path: '^engine/runtime/', dependencyTypesNot: ['type-only'] },
    },
    engineOnly('store-knows-contract-and-files-only', '^engine/store/', [
      '^engine/store/',
      '^engine/formats/files\\.ts$',
      '^engine/(contract|problem|recipe)\\.ts$',
    ]),
    {
      name: 'the-host-parses-no-models',
      comment: 'It answers everybody at once, so whatever takes time is read in a job.',
      severity: 'error',
      from: { path: '^engine/(host/|host\\.ts$|store/)', pathNot: test },
      to: {
        path: '^engine/(models/open|adapters/(adapted|folder|foreign|peft)|data/(tokenizer|rows|records)|formats/(gguf|safetensors))\\.ts$',
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
      '^engine/(contract|problem|rpc|host/request-shapes)\\.ts$',
    ]),
    engineOnly('window-knows-contract-and-recipe', '^renderer/', ['^renderer/', '^engine/(contract|problem|recipe)\\.ts$']),
    engineOnly('drawing-knows-no-state', '^renderer/(ui|charts)/', ['^renderer/(ui|charts|styles)/']),
    only('one-owner-of-the-runtime', 'onnxruntime-(node|common)', ['^engine/runtime/session\\.ts$']),
    only('one-owner-of-sql', 'better-sqlite3', ['^engine/store/', '^engine/testing/']),
    only('one-owner-of-templates-and-tokenizers', '(tokenizers|@huggingface/jinja)', ['^engine/data/']),
    only('electron-in-the-shell-only', 'electron', ['^electron/']),
    {
      name: 'host-and-clients-speak-by-a-local-socket',
      severity: 'error',
      from: { path: '^(engine|electron|renderer)/', pathNot: [test, '^engine/(host|rpc|frames|host/lock|testing/soak)\\.ts$'] },
      to: { path: '^(node:)?net$' },
    },
    {
      // Downloads use the global fetch, which eslint leaves to engine/runtime/download.ts.
      name: 'no-other-connection',
      severity: 'error',
      from: { path: '^(engine|electron|renderer)/', pathNot: test },
      to: { path: '^(node:)?(dgram|dns|dns/promises|http|http2|https|tls)$' },
    },
    {
      name: 'no-node-in-the-window',
      severity: 'error',
      from: { path: '^renderer/', pathNot: test },
      to: { dependencyTypes: ['core'] },
    },
    { name: 'no-circles', severity: 'error', from: {}, to: { circular: true, viaOnly: { dependencyTypesNot: ['type-only'] } } },
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
