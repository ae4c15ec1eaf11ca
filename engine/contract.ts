/**
 * Every message that crosses a process border, and its types: window and command line to the engine host (requests and events),
 * window to the shell (`shell.` requests), host to a job process (`JobSpec`, `JobCommand`, `JobMessage`).
 * Times are UTC milliseconds; durations are seconds; sizes are bytes. All values are JSON.
 */
import type { ProblemValue } from './problem.ts';
import type { Recipe, RecipeInput, RowSettings } from './recipe.ts';

export type { ProblemValue };

// ── Things ──────────────────────────────────────────────────────────────────────────────────────────────────────────────

export interface Project {
  readonly id: string;
  readonly name: string;
  readonly createdAt: number;
}

export type Provider = 'cpu' | 'cuda' | 'dml' | 'webgpu';
export interface DeviceInfo {
  readonly provider: Provider;
  readonly usable: boolean;
  /** Name of the device and what of it is used: `4 threads`. */
  readonly name: string;
  /** Why it is not usable, or null. */
  readonly reason: string | null;
  /** How it stood beside the processor; null where nothing could be measured. */
  readonly measured: DeviceMeasure | null;
}
export interface DeviceMeasure {
  /** Largest difference of a loss or gradient from the processor's, as a share of the largest element. */
  readonly difference: number;
  /** Billions of floating-point operations a second in products of large matrices. */
  readonly gflops: number;
}
export interface MachineInfo {
  readonly devices: readonly DeviceInfo[];
  /** The provider runs use when nothing else is asked for. */
  readonly chosen: Provider;
  readonly threads: number;
  readonly memoryTotal: number;
}

/** One linear layer of a block that can be adapted. */
export interface LinearInfo {
  /** `q_proj`, as PEFT's target_modules names it. */
  readonly name: string;
  /** Path of the module with `{layer}` in place of the block number. */
  readonly path: string;
  readonly outFeatures: number;
  readonly inFeatures: number;
}
export interface ModelInfo {
  readonly family: string;
  readonly name: string;
  readonly format: 'hub' | 'gguf';
  readonly parameters: number;
  readonly layers: number;
  readonly hiddenSize: number;
  readonly vocabularySize: number;
  readonly contextLength: number;
  /** Storage of most weights: `F32`, `Q4_1`. */
  readonly weightType: string;
  readonly bytes: number;
  readonly linears: readonly LinearInfo[];
  readonly hasTokenizer: boolean;
  readonly hasChatTemplate: boolean;
  readonly licence: string | null;
  /** SHA-256 over the weight files. */
  readonly hash: string;
  /** Fields of its config, or metadata keys, that nobody here knows and a person let pass. */
  readonly acceptFields: readonly string[];
  /** Sentences about what is missing or read differently. */
  readonly notes: readonly string[];
}
export interface Model extends ModelInfo {
  readonly id: string;
  readonly projectId: string;
  readonly path: string;
  readonly createdAt: number;
  /** Shipped with the studio. */
  readonly embedded: boolean;
}

export type DataFormat = 'messages' | 'sharegpt' | 'alpaca' | 'prompt-completion' | 'text' | 'tokens';
export interface Dataset {
  readonly id: string;
  readonly projectId: string;
  readonly name: string;
  readonly trainPaths: readonly string[];
  readonly evalPaths: readonly string[];
  readonly format: DataFormat;
  readonly trainRows: number;
  readonly evalRows: number;
  /** Over the files to train on and those to evaluate on, as what they are. */
  readonly hash: string;
  readonly createdAt: number;
}
/** What files of rows are, whatever the model. */
export interface DataScan {
  readonly format: DataFormat;
  readonly trainRows: number;
  readonly evalRows: number;
  readonly hash: string;
}
/** The fields of a file of rows, for a person to say what they mean where `format` is null. */
export interface DataColumns {
  readonly format: DataFormat | null;
  readonly columns: readonly { readonly name: string; readonly example: string }[];
}
/** Which field is what. Without a question the answer is plain text. */
export interface ColumnMapping {
  readonly question: string | null;
  readonly answer: string;
  readonly system: string | null;
}
export type MappedData = Pick<Dataset, 'trainPaths' | 'evalPaths'>;
/** What a token is to the loss. */
export type TokenRole = 'trained' | 'ignored' | 'special' | 'truncated';
export interface TokenView {
  readonly id: number;
  readonly text: string;
  readonly role: TokenRole;
}
export interface ChatMessage {
  readonly role: 'system' | 'user' | 'assistant' | 'tool';
  readonly content: string;
}
/** A row of the data, or one of the examples it becomes. */
export interface RowView {
  /** Of the row in the data, from 0. */
  readonly index: number;
  readonly line: number;
  /** The assistant turn that is trained, from 1, where the row is several examples; null where it is one. */
  readonly turn: number | null;
  readonly messages: readonly ChatMessage[] | null;
  readonly text: string;
  readonly tokens: readonly TokenView[];
  readonly trainedTokens: number;
  readonly problem: ProblemValue | null;
}
export interface DataCheck {
  readonly severity: 'blocking' | 'warning' | 'passed';
  readonly title: string;
  readonly detail: string;
  /** 0-based rows it means, at most 100. */
  readonly rows: readonly number[];
}
/** The files of a split as they were when their data set was added. */
export interface AddedFiles {
  readonly rows: number;
  /** Null where it cannot be compared: it is that of both splits, and one of them is read. */
  readonly hash: string | null;
}
export interface DataReport {
  readonly rows: number;
  /** What is trained on: more than the rows where a chat template makes each turn of a conversation an example of its own. */
  readonly examples: number;
  readonly tokens: number;
  readonly trainedTokens: number;
  readonly truncatedRows: number;
  /** At which they are cut: as was asked for, or what the model has positions for where that is less. */
  readonly maxLength: number;
  readonly duplicateRows: number;
  readonly longest: number;
  /** Examples per length bucket; `upTo` is inclusive. */
  readonly lengths: readonly { readonly upTo: number; readonly rows: number }[];
  readonly checks: readonly DataCheck[];
  /** The files are others than those that were added as a data set: the first of the checks. */
  readonly changed: boolean;
}

/** `paused` and `stopped` both end with a checkpoint; a paused run is one that somebody means to go on with. */
export type RunState = 'queued' | 'running' | 'paused' | 'done' | 'stopped' | 'interrupted' | 'failed';
export interface Run {
  readonly id: string;
  readonly projectId: string;
  readonly name: string;
  /** 1 to 8: the run's colour on every screen. */
  readonly colour: number;
  readonly state: RunState;
  readonly phase: string;
  readonly modelId: string | null;
  readonly modelName: string;
  readonly modelPath: string;
  readonly datasetId: string | null;
  readonly datasetName: string;
  readonly recipe: Recipe;
  readonly device: Provider;
  readonly out: string;
  readonly step: number;
  readonly totalSteps: number;
  readonly secondsLeft: number | null;
  /** Training time so far, over all its sessions. */
  readonly seconds: number;
  readonly lastLoss: number | null;
  readonly lastEvalLoss: number | null;
  readonly bestEvalLoss: number | null;
  readonly trainableParameters: number;
  readonly peakMemory: number;
  readonly problem: ProblemValue | null;
  readonly notes: string;
  readonly tags: readonly string[];
  readonly createdAt: number;
  readonly finishedAt: number | null;
}
/** One optimizer step; the same object is a line of metrics.jsonl. */
export interface StepMetrics {
  readonly step: number;
  /** Mean over the supervised tokens of the whole step. */
  readonly loss: number;
  readonly learningRate: number;
  /** Before clipping. */
  readonly gradientNorm: number;
  readonly supervisedTokens: number;
  readonly tokens: number;
  readonly seconds: number;
  /** The most resident bytes that the job process has had. */
  readonly memory: number;
  readonly epoch: number;
}
export interface EvalMetrics {
  readonly step: number;
  readonly evalLoss: number;
}
export type MetricRow = StepMetrics | EvalMetrics;
/** An answer to a fixed evaluation prompt at one step. */
export interface Sample {
  readonly step: number;
  readonly prompt: number;
  readonly promptText: string;
  readonly expected: string;
  readonly text: string;
}
export interface LogLine {
  readonly at: number;
  readonly text: string;
}
export interface Checkpoint {
  readonly step: number;
  readonly path: string;
  readonly bytes: number;
  readonly createdAt: number;
}

export interface AdapterVersion {
  readonly id: string;
  readonly projectId: string;
  readonly name: string;
  readonly path: string;
  /** Null when imported. */
  readonly runId: string | null;
  readonly runName: string | null;
  readonly step: number | null;
  readonly modelId: string | null;
  readonly modelName: string;
  readonly modelPath: string;
  readonly datasetName: string | null;
  readonly rank: number;
  readonly alpha: number;
  readonly targetModules: readonly string[];
  readonly parameters: number;
  readonly bytes: number;
  readonly hash: string;
  readonly evalLoss: number | null;
  readonly tag: 'candidate' | 'best' | 'shipped' | null;
  readonly createdAt: number;
}

/** What is read of an adapter and its base together. */
export type AdapterDescription = Pick<AdapterVersion, 'rank' | 'alpha' | 'targetModules' | 'parameters' | 'bytes' | 'hash'>;

/** How far an adapter moves each matrix: the Frobenius norm of s B A. */
export interface UpdateNorms {
  readonly modules: readonly {
    readonly name: string;
    /** With `{layer}` in place of the block's number. */
    readonly path: string;
    /** One per block, null where it has no adapter; a single one outside of the blocks. */
    readonly norms: readonly (number | null)[];
  }[];
}

export type ExportFormat = 'peft' | 'lora-gguf' | 'mlx' | 'safetensors' | 'gguf' | 'ollama' | 'onnx' | 'onnx-adapter';
export type Quantization =
  | 'f32'
  | 'f16'
  | 'bf16'
  | 'q8'
  | 'q4'
  | 'q8_0'
  | 'q6_k'
  | 'q5_k_m'
  | 'q5_1'
  | 'q5_0'
  | 'q4_k_m'
  | 'q4_1'
  | 'q4_0'
  | 'q3_k_m'
  | 'q2_k';
/** One line of a proof: what was compared, the number, the limit, and whether it holds. */
export interface ProofCheck {
  readonly name: string;
  readonly value: number | null;
  readonly limit: number | null;
  readonly text: string;
  readonly passed: boolean;
}
export interface Proof {
  readonly passed: boolean;
  readonly checks: readonly ProofCheck[];
  readonly rows: number;
  readonly positions: number;
  readonly maxLogitDifference: number;
  readonly top1Agreement: number;
}
export interface ExportedFile {
  /** Within the exported folder, with slashes. */
  readonly name: string;
  readonly bytes: number;
  readonly sha256: string;
}
/** Where an export came from. */
export interface Lineage {
  readonly exportId: string;
  /** Version of the studio that wrote it. */
  readonly studio: string;
  readonly base: { readonly name: string; readonly hash: string; readonly licence: string | null };
  readonly adapters: readonly {
    readonly name: string;
    /** SHA-256 of the file with its numbers. */
    readonly hash: string;
    readonly weight: number;
    /** The run that trained it, where that is known. */
    readonly run: { readonly id: string; readonly name: string } | null;
  }[];
  /** What the first adapter was trained on. */
  readonly data: { readonly name: string; readonly hash: string; readonly rows: number } | null;
}
/** What a file or folder says of where it came from, and what it is now. */
export interface Fingerprint {
  readonly lineage: Lineage | null;
  readonly files: readonly ExportedFile[];
  /** As the folder itself says they were written; null where it says nothing. */
  readonly written: readonly ExportedFile[] | null;
}
/** An exported file or folder that is known again. */
export interface Identification {
  readonly path: string;
  /** By the hash of its files, or by what it says of itself. */
  readonly by: 'hash' | 'metadata';
  /** Null where this data folder knows nothing of it. */
  readonly export: ExportRecord | null;
  readonly adapter: AdapterVersion | null;
  readonly run: Run | null;
  readonly lineage: Lineage | null;
  /** Names of files that are not as they were written; null where that is not known. */
  readonly changed: readonly string[] | null;
}
export interface ExportRecord {
  readonly id: string;
  readonly projectId: string;
  readonly adapterId: string | null;
  readonly adapterName: string;
  readonly modelName: string;
  readonly format: ExportFormat;
  readonly quantization: Quantization | null;
  readonly path: string;
  readonly bytes: number;
  readonly state: 'running' | 'done' | 'failed' | 'stopped';
  readonly proof: Proof | null;
  /** As they were written, with their hashes. */
  readonly files: readonly ExportedFile[];
  readonly problem: ProblemValue | null;
  /** What a person should know of what was just written; not kept. */
  readonly notes?: readonly string[];
  readonly createdAt: number;
}
/** Another program that models can be taken to. */
export type InstallProgram = 'ollama' | 'lm-studio' | 'jan';
export interface Program {
  readonly program: InstallProgram;
  /** Its executable or its folder; null when it was not found. */
  readonly place: string | null;
}
export interface InstallResult {
  readonly program: InstallProgram;
  /** What the program calls the model. */
  readonly name: string;
  readonly place: string;
  /** What it answered to a first question; null where nothing was asked. */
  readonly answer: string | null;
}
/** One row of the table of exports, for the screen and `--format`. */
export interface ExportChoice {
  readonly format: ExportFormat;
  readonly quantization: Quantization | null;
  readonly title: string;
  /** One line: where it runs. */
  readonly runsIn: string;
  readonly bytes: number;
}

/** How a run would look before it is started. */
export interface RunPlan {
  readonly trainableParameters: number;
  readonly totalParameters: number;
  readonly matrices: number;
  readonly perLinear: readonly (LinearInfo & { readonly parameters: number; readonly chosen: boolean })[];
  readonly totalSteps: number;
  /** Estimated bytes at the peak of a step, by what they are for. */
  readonly memory: {
    readonly base: number;
    /** Parameters, gradients and moments. */
    readonly adapter: number;
    readonly activations: number;
    readonly logits: number;
    /** Of the programs themselves; once this machine has trained the model, as was measured. */
    readonly runtime: number;
  };
  /** What the newest run here that was like this one in all that takes memory really took; null before there is one. */
  readonly memoryMeasured: { readonly bytes: number; readonly measuredBy: string } | null;
  readonly memoryFree: number;
  /** From the rate that the newest run of this model reached here; null before there is one. */
  readonly time: { readonly seconds: number; readonly tokensPerSecond: number; readonly measuredBy: string } | null;
  /** What a person should know before starting it, in sentences. */
  readonly notes: readonly string[];
}

/** What a recipe trains of a model. */
export interface AdapterPlan extends Pick<RunPlan, 'trainableParameters' | 'matrices' | 'perLinear'> {
  /** Blocks of the model. */
  readonly layers: number;
}

/** A module of a model that can get an adapter, in all blocks at once, and what a recipe makes of it. */
export interface TargetInfo {
  /** As target_modules names it: `q_proj`; `attn.c_proj` where the last part alone would mean two; `lm_head`, the whole path. */
  readonly target: string;
  /** Path with `{layer}` in place of the block's number. */
  readonly path: string;
  readonly part: 'embedding' | 'attention' | 'feed-forward' | 'head';
  /** The last one of its part: what it computes is added to what the block was given. */
  readonly last: boolean;
  /** A matrix of [out, in]; that of an embedding is [in, out]. */
  readonly outFeatures: number;
  readonly inFeatures: number;
  /** Rank in each block, or the only one outside of the blocks; 0 without an adapter. */
  readonly ranks: readonly number[];
  /** alpha / r, or alpha / sqrt(r), where there is an adapter. */
  readonly scales: readonly number[];
}
/** A norm of a block: before or after one of its parts, or of the heads of queries and keys. */
export type NormPlace = 'attention' | 'after-attention' | 'feed-forward' | 'after-feed-forward' | 'heads';
/** What a recipe would adapt in a model, and how the model's blocks are put together. */
export interface TargetPlan {
  readonly modules: readonly TargetInfo[];
  readonly norms: readonly NormPlace[];
  /** Attention and feed-forward read the same and are added together. */
  readonly parallel: boolean;
  /** The head is the embedding's matrix. */
  readonly tiedHead: boolean;
  readonly heads: number;
  readonly keyValueHeads: number;
  /** For how many adapted modules each name of a pattern decides. */
  readonly rankMatches: Readonly<Record<string, number>>;
  readonly alphaMatches: Readonly<Record<string, number>>;
}

/** A field of a recipe changed to save memory. */
export interface FitChange {
  readonly key: string;
  readonly from: number | string;
  readonly to: number | string;
  /** What it costs, in a sentence. */
  readonly cost: string;
  /** Estimated bytes of a run with this and all changes before it. */
  readonly bytes: number;
}
/** A recipe that takes no more than a budget, or as little as it can. */
export interface FittedRecipe {
  readonly recipe: Recipe;
  /** Estimated bytes at the peak. */
  readonly bytes: number;
  readonly fits: boolean;
  readonly changes: readonly FitChange[];
}

export interface Progress {
  readonly phase: string;
  readonly done: number;
  readonly total: number;
  readonly unit: string;
  readonly secondsLeft: number | null;
  /** Rows that are done, where `done` counts the bytes of files of rows. */
  readonly rows?: number;
  /** The rows that are worked on: those that begin on these lines of a file. */
  readonly at?: { readonly file: string; readonly firstLine: number; readonly lastLine: number };
}

export interface GenerateSettings {
  readonly maxTokens: number;
  /** 0 is greedy. */
  readonly temperature: number;
  readonly topP: number;
  readonly topK: number;
  readonly seed: number;
  readonly ignoreStop: boolean;
}
export interface GenerateResult {
  /** What a person should know: that the tokenizer or the chat template is not the model's own. */
  readonly notes: readonly string[];
  readonly tokens: readonly number[];
  readonly text: string;
  readonly promptTokens: readonly number[];
}

/** How the first-start sample stands. Counts are measured: rows that parse and have exactly the required fields. */
export interface SampleState {
  readonly phase: 'preparing' | 'before' | 'training' | 'after' | 'done' | 'failed' | 'stopped';
  readonly projectId: string;
  readonly runId: string | null;
  readonly adapterId: string | null;
  readonly question: string;
  readonly requiredFields: readonly string[];
  readonly answerBefore: string | null;
  readonly answerAfter: string | null;
  readonly correctBefore: number | null;
  readonly correctAfter: number | null;
  readonly rows: number;
  readonly progress: Progress | null;
  readonly problem: ProblemValue | null;
}

// ── Requests to the engine host ─────────────────────────────────────────────────────────────────────────────────────────

/** Where a thing is: registered in the store, or simply a path. */
export type Ref = { readonly id: string } | { readonly path: string };
/** A model; one that is given by its path may name fields of its config to be passed over. */
export type ModelRef = { readonly id: string } | ({ readonly path: string } & AcceptFields);
export interface AcceptFields {
  /** Fields of a model's config, or metadata keys, that nobody here knows and a person lets pass; left out: none. */
  readonly acceptFields?: readonly string[];
}
/** How rows are read. */
export interface ReadingRows {
  /** Those that are left out are as in the default recipe, or as in the run of an adapter that is named. */
  readonly rowSettings?: Partial<RowSettings>;
}
/** How rows are read that are only looked at. */
export interface ViewingRows extends ReadingRows {
  /** What a chat template prints, `2026-07-15`; today where it is left out. */
  readonly day?: string;
}
/** What decides the graph of a training step. */
export interface TrialSubject extends AcceptFields {
  readonly modelPath: string;
  readonly adapterPath: string | null;
  readonly recipe: RecipeInput;
}

export interface TrainRequest {
  readonly projectId?: string;
  readonly name?: string;
  readonly model: ModelRef;
  readonly data: { readonly id: string } | { readonly paths: readonly string[]; readonly evalPaths: readonly string[] };
  /** Adapter to go on from. */
  readonly adapter?: Ref;
  readonly recipe: RecipeInput;
  /** Folder of the run; absent: inside the data folder. */
  readonly out?: string;
  readonly device?: 'auto' | Provider;
  readonly skipBadRows?: boolean;
  /** Go on with the run found in `out`. */
  readonly resume?: boolean;
  /** The run ends when the client that asked for it goes away (the command line). */
  readonly attached?: boolean;
}
export interface AdapterWeight {
  readonly path: string;
  readonly weight: number;
}
export interface GenerateRequest {
  readonly model: ModelRef;
  readonly adapters: readonly AdapterWeight[];
  readonly prompt:
    { readonly messages: readonly ChatMessage[] } | { readonly text: string } | { readonly tokens: readonly number[] };
  readonly settings: GenerateSettings;
  /** Given back in the `generate.token` events. */
  readonly streamId: string;
}
export interface ExportRequest extends ReadingRows {
  readonly projectId?: string;
  readonly model: ModelRef;
  /** Together; none for the model alone. A weight left out is 1. */
  readonly adapters: readonly (Ref & { readonly weight?: number })[];
  readonly format: ExportFormat;
  readonly quantization: Quantization | null;
  readonly out: string;
  readonly proof: boolean;
  /** A person agreed that what is at `out` be replaced, once the new export is written and proved; absent: it is refused. */
  readonly replace?: boolean;
  /** Rows for the proof; absent: the evaluation rows of the adapter's run, or built-in ones. */
  readonly data?: readonly string[];
  /** Rows that the importance of columns is measured with, for quantized types; absent: those of the adapter's run where the type needs it. */
  readonly importance?: readonly string[];
}
export interface EvaluateResult {
  /** As those of an answer. */
  readonly notes: readonly string[];
  readonly loss: number;
  readonly perplexity: number;
  readonly supervisedTokens: number;
  readonly rows: readonly { readonly loss: number; readonly supervisedTokens: number }[];
}
/** What `inspect` found; `kind` says which of the fields are there. */
export interface Inspection {
  readonly kind: 'model' | 'adapter' | 'dataset' | 'export';
  readonly path: string;
  readonly sound: boolean;
  readonly summary: readonly { readonly label: string; readonly value: string }[];
  readonly model?: ModelInfo;
}
export interface RenderedRow {
  /** The row of the data, from 0, and its assistant turn that is trained, from 1: only where the row is several examples. */
  readonly row?: number;
  readonly turn?: number;
  readonly text: string;
  readonly input_ids: readonly number[];
  readonly labels: readonly number[];
}
export interface RenderedRows {
  readonly rows: readonly (RenderedRow | { readonly problem: ProblemValue })[];
  /** The row to go on from; null at the end of the data. */
  readonly next: number | null;
}

/** Request name to its function. The host answers all of these; names with `shell.` are in `ShellRequests`. */
export interface EngineRequests {
  /** What is known now; what is not is tried meanwhile, and `machine.changed` tells. */
  'machine.get': () => MachineInfo;
  /** Answers when every device has been tried: only those not known yet, or all again. */
  'machine.measure': (p: { again: boolean }) => MachineInfo;
  /** Resident bytes of host and jobs, and what the machine has free. */
  'machine.memory': () => { used: number; free: number };
  'projects.list': () => readonly Project[];
  'projects.create': (p: { name: string }) => Project;
  'projects.rename': (p: { id: string; name: string }) => Project;
  'models.list': (p: { projectId: string }) => readonly Model[];
  'models.add': (p: { projectId: string; path: string } & AcceptFields) => Model;
  'models.remove': (p: { id: string }) => null;
  /** What a recipe would adapt; fields that are not about the adapter do not matter. */
  'models.targets': (p: { modelId: string; recipe: RecipeInput }) => TargetPlan;
  'datasets.list': (p: { projectId: string }) => readonly Dataset[];
  'datasets.add': (p: {
    projectId: string;
    name?: string;
    trainPaths: readonly string[];
    evalPaths: readonly string[];
    /** A copy of the files is made, in which their fields mean this. */
    mapping?: ColumnMapping;
  }) => Dataset;
  'datasets.columns': (p: { path: string }) => DataColumns;
  'datasets.remove': (p: { id: string }) => null;
  'datasets.rows': (p: {
    datasetId: string;
    modelId: string;
    split: 'train' | 'eval';
    offset: number;
    limit: number;
    maxLength: number;
  }) => {
    rows: readonly RowView[];
    total: number;
  };
  'datasets.report': (
    p: { datasetId: string; modelId: string; split: 'train' | 'eval'; maxLength: number } & ReadingRows,
  ) => DataReport;
  'runs.list': (p: { projectId?: string }) => readonly Run[];
  'runs.get': (p: { id: string }) => Run;
  'runs.plan': (p: { modelId: string; datasetId: string; recipe: RecipeInput }) => RunPlan;
  /** Changes a recipe so that a run takes no more than `budget` bytes, what costs least first, and says what it costs. */
  'runs.fit': (p: { model: ModelRef; data: readonly string[]; recipe: RecipeInput; budget: number }) => FittedRecipe;
  'runs.start': (p: TrainRequest) => Run;
  /** Asks for a checkpoint and an end for now; `runs.resume` goes on. */
  'runs.pause': (p: { id: string }) => null;
  /** Asks for a checkpoint and an end; `force` kills the job. A paused run is stopped at once. */
  'runs.stop': (p: { id: string; force?: boolean }) => null;
  'runs.resume': (p: { id: string }) => Run;
  'runs.update': (p: { id: string; name?: string; notes?: string; tags?: readonly string[] }) => Run;
  'runs.remove': (p: { id: string }) => null;
  /** The oldest after a step, as many as fit into one answer; where there are more, ask again from the last step of these. */
  'runs.metrics': (p: { id: string; afterStep: number }) => {
    steps: readonly StepMetrics[];
    evaluations: readonly EvalMetrics[];
    more: boolean;
  };
  /** The learning rate that the recipe plans, at up to 400 steps from the first to the last. */
  'runs.schedule': (p: { id: string }) => readonly Pick<StepMetrics, 'step' | 'learningRate'>[];
  'runs.samples': (p: { id: string }) => readonly Sample[];
  /** The newest lines, as many as fit into one answer; the first says how many came before them. */
  'runs.log': (p: { id: string }) => readonly LogLine[];
  'runs.checkpoints': (p: { id: string }) => readonly Checkpoint[];
  'adapters.list': (p: { projectId: string }) => readonly AdapterVersion[];
  'adapters.import': (p: { projectId: string; path: string; modelId: string }) => AdapterVersion;
  'adapters.update': (p: { id: string; name?: string; tag?: AdapterVersion['tag'] }) => AdapterVersion;
  'adapters.norms': (p: { id: string }) => UpdateNorms;
  'generate.start': (p: GenerateRequest) => GenerateResult;
  'generate.stop': (p: { streamId: string }) => null;
  'exports.choices': (p: { adapterId: string }) => readonly ExportChoice[];
  'exports.list': (p: { projectId: string }) => readonly ExportRecord[];
  /** Answers when the export is finished and proved; progress comes as `export.changed` and `job.progress`. */
  'exports.start': (p: ExportRequest) => ExportRecord;
  'exports.stop': (p: { id: string }) => null;
  /** The programs an export can be taken to. */
  'exports.programs': () => readonly Program[];
  /** Takes a finished export there; answers when it is there, and with Ollama has answered. */
  'exports.install': (p: { id: string; program: InstallProgram }) => InstallResult;
  /** Which export, adapter and run a file or folder is of, and whether it is as it was written; null when nothing is known of it. */
  'exports.identify': (p: { path: string }) => Identification | null;
  'evaluate.start': (p: { model: ModelRef; data: readonly string[]; adapter: string | null } & ReadingRows) => EvaluateResult;
  /** Some of the rows from row `offset` on, as many as are answered soon. */
  'data.render': (p: { model: ModelRef; data: readonly string[]; offset: number } & ViewingRows) => RenderedRows;
  'data.report': (p: { model: ModelRef; data: readonly string[]; maxLength: number } & ViewingRows) => DataReport;
  'inspect.path': (p: { path: string } & AcceptFields) => Inspection;
  /** Makes the sample project and runs it to the end; answers when it has started. */
  'sample.start': () => SampleState;
  'sample.get': () => SampleState | null;
  'sample.stop': () => null;
  /** Those of these paths that the store holds: the window may name no others but what a person chose in it. */
  'paths.known': (p: { paths: readonly string[] }) => readonly string[];
  /** What nobody was told so far: rows that cannot be read, a database that was healed. */
  'notices.take': () => readonly ProblemValue[];
}

/** Event name to its payload. The host stores first and emits after. */
export interface EngineEvents {
  'machine.changed': MachineInfo;
  'run.changed': Run;
  'run.removed': { readonly id: string };
  'run.metrics': {
    readonly runId: string;
    readonly steps: readonly StepMetrics[];
    readonly evaluations: readonly EvalMetrics[];
  };
  'run.sample': { readonly runId: string; readonly sample: Sample };
  'run.log': { readonly runId: string; readonly line: LogLine };
  'job.progress': {
    readonly jobId: string;
    readonly kind: JobSpec['kind'];
    /** The run, data set or export; null: what this connection itself has asked for, told to it alone. */
    readonly subjectId: string | null;
    readonly progress: Progress;
  };
  'adapter.changed': AdapterVersion;
  'export.changed': ExportRecord;
  'generate.token': { readonly streamId: string; readonly token: number; readonly text: string };
  'sample.changed': SampleState;
  /** There is something to tell: `notices.take` says what. */
  'notices.changed': null;
  /** A list of this project changed as a whole: ask again. */
  'list.changed': {
    readonly projectId: string;
    readonly list: 'models' | 'datasets' | 'adapters' | 'exports' | 'runs' | 'projects';
  };
}

// ── Requests to the shell (Electron's main process) ─────────────────────────────────────────────────────────────────────

/** A command of the window as the menu shows it; choosing it comes back as `shell.command`. */
export interface MenuCommand {
  readonly id: string;
  readonly title: string;
  readonly menu: 'File' | 'Go' | 'Run' | 'View';
  /** `Mod+Shift+N`; `Mod` is Ctrl, or Command on a Mac. */
  readonly shortcut: string | null;
  readonly enabled: boolean;
}
export interface ShellRequests {
  /** Null when cancelled. */
  'shell.chooseFiles': (p: { title: string; kind: 'model' | 'data' | 'folder' | 'adapter' }) => readonly string[] | null;
  'shell.chooseSavePath': (p: { title: string; suggested: string; directory: boolean }) => string | null;
  'shell.showInFolder': (p: { path: string }) => null;
  'shell.copyText': (p: { text: string }) => null;
  'shell.setTheme': (p: { theme: 'system' | 'light' | 'dark' }) => null;
  'shell.setMenu': (p: { commands: readonly MenuCommand[] }) => null;
  /** A notification of the system; clicking it brings the window to the front and sends `command` back. */
  'shell.notify': (p: { title: string; body: string; command: string }) => null;
  'shell.info': () => { version: string; dataDir: string; platform: string };
}
export interface ShellEvents {
  /** The host went away (`lost`) or is there again (`ready`). */
  'shell.engine': { readonly state: 'starting' | 'ready' | 'lost'; readonly problem: ProblemValue | null };
  /** A command of the window was chosen outside of it: in the menu, or by a click on a notification. */
  'shell.command': { readonly id: string };
  /** Files or folders were dropped on the window. */
  'shell.dropped': { readonly paths: readonly string[] };
}

// ── Borders in one shape ────────────────────────────────────────────────────────────────────────────────────────────────

export type AllRequests = EngineRequests & ShellRequests;
export type AllEvents = EngineEvents & ShellEvents;
export type RequestName = keyof AllRequests;
export type EventName = keyof AllEvents;
export type Params<R, N extends keyof R> = R[N] extends (p: infer P) => unknown ? P : undefined;
export type Result<R, N extends keyof R> = R[N] extends (...args: never[]) => infer T ? T : never;
/** One handler for every request: a missing one does not compile. `Who` is what a handler is told of the one who asks. */
export type Handlers<R, Who extends readonly unknown[] = []> = {
  [N in keyof R]: (params: Params<R, N>, ...who: Who) => Promise<Result<R, N>> | Result<R, N>;
};
/** An answer: a value or a Problem, because an Error does not survive the border. */
export type Answer<T> = { readonly ok: T } | { readonly problem: ProblemValue };

/** What the preload exposes as `window.studio`: exactly these two functions. */
export interface StudioBridge {
  request<N extends RequestName>(name: N, params: Params<AllRequests, N>): Promise<Answer<Result<AllRequests, N>>>;
  /** Returns the function that ends the subscription. */
  on<N extends EventName>(name: N, listener: (payload: AllEvents[N]) => void): () => void;
}

/** One line of JSON on the host's local socket, in either direction. */
export type HostMessage =
  /** The first line of either side on a new connection, with the version of its studio; earlier ones did not say it, and clients no hello. */
  | { readonly type: 'hello'; readonly pid: number; readonly studio?: string }
  | { readonly type: 'request'; readonly id: number; readonly name: keyof EngineRequests; readonly params: unknown }
  | { readonly type: 'answer'; readonly id: number; readonly answer: Answer<unknown> }
  /** Of an answer that is longer than a frame: its JSON, in the order of the parts. */
  | { readonly type: 'part'; readonly id: number; readonly text: string; readonly last: boolean }
  | { readonly type: 'event'; readonly name: keyof EngineEvents; readonly payload: unknown };

// ── Host to job process ─────────────────────────────────────────────────────────────────────────────────────────────────

export interface ExportOrigin {
  readonly exportId: string;
  /** Of each adapter, in their order. */
  readonly adapters: readonly { readonly name: string; readonly run: { readonly id: string; readonly name: string } | null }[];
}

/** Everything a job needs, as paths and numbers: a job never opens the database. */
export type JobSpec =
  | {
      readonly kind: 'train';
      readonly modelPath: string;
      readonly acceptFields?: readonly string[];
      readonly dataPaths: readonly string[];
      readonly evalPaths: readonly string[];
      readonly adapterPath: string | null;
      readonly recipe: RecipeInput;
      readonly out: string;
      readonly device: 'auto' | Provider;
      /** The devices here, judged for a run like this one; left out: the processor alone. */
      readonly devices?: readonly DeviceInfo[];
      readonly skipBadRows: boolean;
      readonly resume: boolean;
      readonly cacheDir: string;
    }
  | ({
      readonly kind: 'evaluate';
      readonly modelPath: string;
      readonly acceptFields?: readonly string[];
      readonly dataPaths: readonly string[];
      readonly adapterPath: string | null;
      readonly cacheDir: string;
    } & ReadingRows)
  | { readonly kind: 'chat'; readonly modelPath: string; readonly acceptFields?: readonly string[]; readonly cacheDir: string }
  | ({
      readonly kind: 'export';
      readonly modelPath: string;
      readonly acceptFields?: readonly string[];
      readonly adapters: readonly AdapterWeight[];
      readonly format: ExportFormat;
      readonly quantization: Quantization | null;
      readonly out: string;
      /** As in ExportRequest. */
      readonly replace?: boolean;
      readonly proof: boolean;
      /** Rows for the proof; none: built-in ones. */
      readonly dataPaths?: readonly string[];
      /** Data that the importance of columns is measured with; none: it is not measured. */
      readonly importancePaths?: readonly string[];
      readonly cacheDir: string;
      /** Where it comes from, as far as the host knows; the job adds what stands in the files. */
      readonly origin?: ExportOrigin;
    } & ReadingRows)
  | { readonly kind: 'identify'; readonly path: string }
  | { readonly kind: 'data'; readonly modelPath: string; readonly acceptFields?: readonly string[]; readonly cacheDir: string }
  | {
      readonly kind: 'describe';
      readonly modelPath: string;
      readonly acceptFields?: readonly string[];
      readonly adapterPath: string;
    }
  | {
      readonly kind: 'norms';
      readonly modelPath: string;
      readonly acceptFields?: readonly string[];
      readonly adapterPath: string;
    }
  /** Tries a device on a small model: of this make, or of the usual one. */
  | {
      readonly kind: 'trial';
      readonly provider: Provider;
      readonly subject: TrialSubject | null;
      readonly cacheDir: string;
    }
  | { readonly kind: 'inspect'; readonly path: string; readonly acceptFields?: readonly string[] }
  | { readonly kind: 'columns'; readonly path: string }
  | {
      readonly kind: 'map';
      readonly trainPaths: readonly string[];
      readonly evalPaths: readonly string[];
      readonly mapping: ColumnMapping;
      readonly out: string;
    }
  | { readonly kind: 'scan'; readonly trainPaths: readonly string[]; readonly evalPaths: readonly string[] };

/** Host to job. `request` is for the long-lived jobs (chat, data). */
export type JobCommand =
  | { readonly type: 'start'; readonly spec: JobSpec }
  | { readonly type: 'stop' }
  | { readonly type: 'request'; readonly id: number; readonly request: JobRequest }
  /** Nobody waits for the answer any more. */
  | { readonly type: 'cancel'; readonly id: number };

export type JobRequest =
  | {
      readonly name: 'generate';
      readonly adapters: readonly AdapterWeight[];
      readonly prompt: GenerateRequest['prompt'];
      readonly settings: GenerateSettings;
      readonly streamId: string;
    }
  | { readonly name: 'stopGenerate'; readonly streamId: string }
  | ({ readonly name: 'render'; readonly dataPaths: readonly string[]; readonly offset: number } & ViewingRows)
  /** What a recipe would adapt; what is not there adapts nothing. */
  | { readonly name: 'targets'; readonly recipe: Recipe }
  /** What a recipe would train; refused where the model does not have it. */
  | { readonly name: 'adapter'; readonly recipe: Recipe }
  /** The exports of an adapter. */
  | { readonly name: 'choices'; readonly adapterPath: string }
  /** Which trial of a device stands for a run. */
  | { readonly name: 'trialKey'; readonly subject: TrialSubject }
  /** The memory of a step on rows of up to `longest` tokens. */
  | { readonly name: 'memory'; readonly recipe: Recipe; readonly longest: number }
  | {
      readonly name: 'rows';
      readonly dataPaths: readonly string[];
      readonly offset: number;
      readonly limit: number;
      readonly maxLength: number;
    }
  | ({
      readonly name: 'report';
      readonly dataPaths: readonly string[];
      readonly otherPaths: readonly string[];
      readonly maxLength: number;
      /** What the files were when they were added as a data set; left out where they were not. */
      readonly added?: AddedFiles;
    } & ViewingRows);

/** Job to host. A job ends with exactly one of `done` and `problem`. */
export type JobMessage =
  /** The model of a chat is in memory: how long that takes is measured. */
  | { readonly type: 'ready' }
  /** Of the job, or of one request to a long-lived one. */
  | { readonly type: 'progress'; readonly progress: Progress; readonly request?: number }
  /** A sign of life from a thread of its own: for how long the process has neither computed nor read or written anything. */
  | { readonly type: 'beat'; readonly idleSeconds: number }
  /** From here on there are steps to lose: a stop waits for the one in progress and its checkpoint. */
  | { readonly type: 'underway' }
  | {
      readonly type: 'plan';
      readonly recipe: Recipe;
      readonly totalSteps: number;
      readonly trainableParameters: number;
      readonly device: Provider;
      /** Tokens of the longest row. */
      readonly longest: number;
      /** 0, or the step of the checkpoint the run goes on from: what was reported of later steps holds no more. */
      readonly stepsDone: number;
      /** What was measured up to then: a host that was ended may not have heard all of it. */
      readonly known: { readonly steps: readonly StepMetrics[]; readonly evaluations: readonly EvalMetrics[] };
    }
  | {
      readonly type: 'metrics';
      readonly steps: readonly StepMetrics[];
      readonly evaluations: readonly EvalMetrics[];
      readonly secondsLeft: number | null;
    }
  | { readonly type: 'sample'; readonly sample: Sample }
  | { readonly type: 'checkpoint'; readonly checkpoint: Checkpoint }
  | { readonly type: 'log'; readonly text: string }
  | { readonly type: 'token'; readonly streamId: string; readonly token: number; readonly text: string }
  | { readonly type: 'answer'; readonly id: number; readonly answer: Answer<unknown> }
  | { readonly type: 'done'; readonly result: unknown }
  | { readonly type: 'problem'; readonly problem: ProblemValue };
