/** Defines exports, their proofs, and where they come from. */
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
/** Holds one line of a proof: what was compared, the value, its limit, and whether the value is within it. */
export interface ProofCheck {
  readonly name: string;
  readonly value: number | null;
  readonly limit: number | null;
  readonly text: string;
  readonly passed: boolean;
  /** Is false when neither the export nor its source has what this line is about; left out when the two were compared. */
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
  /** The path within the exported folder, with slashes. */
  readonly name: string;
  readonly bytes: number;
  readonly sha256: string;
}
/** Says where an export came from. */
export interface Lineage {
  readonly exportId: string;
  /** The version of the studio that wrote the export. */
  readonly studio: string;
  readonly base: { readonly name: string; readonly hash: string; readonly licence: string | null };
  readonly adapters: readonly {
    readonly name: string;
    /** The SHA-256 of the file that holds its weights. */
    readonly hash: string;
    readonly weight: number;
    /** The run that trained the adapter, if it is known. */
    readonly run: { readonly id: string; readonly name: string } | null;
  }[];
  /** The data that the first adapter was trained on. */
  readonly data: { readonly name: string; readonly hash: string; readonly rows: number } | null;
}
/** Holds what a file or folder says of where it came from, and the hashes that it has now. */
export interface Fingerprint {
  readonly lineage: Lineage | null;
  readonly files: readonly ExportedFile[];
  /** The files with the hashes that the folder itself says they were written with; null when it says nothing of them. */
  readonly written: readonly ExportedFile[] | null;
}
/** Says which export, adapter and run an exported file or folder comes from. */
export interface Identification {
  readonly path: string;
  /** Whether it was recognized by the hash of its files, by the version that is recorded where it lies, or by its own metadata. */
  readonly by: 'hash' | 'place' | 'metadata';
  /** The record of the export; null when this data folder has none. */
  readonly export: ExportRecord | null;
  readonly adapter: AdapterVersion | null;
  /** Other versions with the same numbers, as equal runs leave them. */
  readonly equal: readonly AdapterVersion[];
  readonly run: Run | null;
  readonly lineage: Lineage | null;
  /** Names of files that are no longer as they were written; null when that cannot be told. */
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
  /** The files that were written, with their hashes. */
  readonly files: readonly ExportedFile[];
  readonly problem: ProblemValue | null;
  /** What a person should know of the export that was just written, in sentences; these are not stored. */
  readonly notes?: readonly string[];
  readonly createdAt: number;
}
/** Names another program that models can be installed into. */
export type InstallProgram = 'ollama' | 'lm-studio' | 'jan';
export interface Program {
  readonly program: InstallProgram;
  /** The path of its executable or its folder; null when it was not found. */
  readonly place: string | null;
}
export interface InstallResult {
  readonly program: InstallProgram;
  /** The name of the model in the program. */
  readonly name: string;
  readonly place: string;
  /** The answer of the model to a first question; null when nothing was asked. */
  readonly answer: string | null;
}
/** Describes one format of exports, for the screen and for `--format`. */
export interface ExportChoice {
  readonly format: ExportFormat;
  readonly quantization: Quantization | null;
  readonly title: string;
  /** One line that says which programs run it. */
  readonly runsIn: string;
  readonly bytes: number;
}
export interface ExportRequest extends ReadingRows {
  readonly projectId?: string;
  readonly model: ModelRef;
  /** The adapters that are merged together; none for the model alone. A weight that is left out is 1. */
  readonly adapters: readonly (Ref & { readonly weight?: number })[];
  readonly format: ExportFormat;
  readonly quantization: Quantization | null;
  readonly out: string;
  readonly proof: boolean;
  /**
   * Says that a person agreed to replace what is at `out` once the new export is written and proved; left out: it is refused.
   */
  readonly replace?: boolean;
  /** Rows for the proof; left out: the evaluation rows of the adapter's run, or built-in ones. */
  readonly data?: DataRef;
  /**
   * Rows that the importance of columns is measured on, for quantized types; left out: those of the adapter's run if the type
   * needs it.
   */
  readonly importance?: DataRef;
}
export interface ExportRequests {
  'exports.choices': (p: { adapterId: string }) => readonly ExportChoice[];
  'exports.list': (p: { projectId: string }) => readonly ExportRecord[];
  /** Writes and proves an export, and answers when that is done. Progress comes as `export.changed` and `job.progress`. */
  'exports.start': (p: ExportRequest) => ExportRecord;
  'exports.stop': (p: { id: string }) => null;
  /** Lists the programs that an export can be installed into. */
  'exports.programs': () => readonly Program[];
  /** Installs a finished export into a program. The answer comes when it is there and, with Ollama, the model has answered. */
  'exports.install': (p: { id: string; program: InstallProgram }) => InstallResult;
  /**
   * Says which export, adapter and run a file or folder comes from, and whether it is as it was written; null when nothing is
   * known of it.
   */
  'exports.identify': (p: { path: string }) => Identification | null;
}
export interface ExportEvents {
  'export.changed': ExportRecord;
}
