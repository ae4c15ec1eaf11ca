/** Exports, their proofs, and where they come from. */
import type { ProblemValue } from '../problem.ts';
import type { AdapterVersion } from './adapters.ts';
import type { DataRef, ReadingRows } from './data.ts';
import type { ModelRef, Ref } from './models.ts';
import type { Run } from './runs.ts';

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
  /** False where neither the export nor its source has the thing; left out where the two were compared. */
  readonly compared?: false;
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
  readonly data?: DataRef;
  /** Rows that the importance of columns is measured with, for quantized types; absent: those of the adapter's run where the type needs it. */
  readonly importance?: DataRef;
}
export interface ExportRequests {
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
}
export interface ExportEvents {
  'export.changed': ExportRecord;
}
