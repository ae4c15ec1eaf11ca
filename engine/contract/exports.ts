/** Defines exports, their proofs, and where they come from. */
import type { ProblemValue } from '../problem.ts';
import type { AdapterVersion, MixSettings } from './adapters.ts';
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
  /** Is false when neither the export nor its source has what this line is about. It is left out when the two were compared. */
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
  /** Gives the path within the exported folder, with slashes. */
  readonly name: string;
  readonly bytes: number;
  readonly sha256: string;
}
/** Says where an export came from. */
export interface Lineage {
  readonly exportId: string;
  /** Gives the version of the studio that wrote the export. */
  readonly studio: string;
  readonly base: { readonly name: string; readonly hash: string; readonly licence: string | null };
  readonly adapters: readonly {
    readonly name: string;
    /** Holds the SHA-256 of the file with its weights. */
    readonly hash: string;
    readonly weight: number;
    /** Names the run that trained the adapter, if it is known. */
    readonly run: { readonly id: string; readonly name: string } | null;
  }[];
  /** Names the data that the first adapter was trained on. */
  readonly data: { readonly name: string; readonly hash: string; readonly rows: number } | null;
  /** Says how the adapters were mixed into one. It is left out for what was made in another way. */
  readonly mix?: MixSettings;
}
/** Holds what a file or folder says about its origin, and its present hashes. */
export interface Fingerprint {
  readonly lineage: Lineage | null;
  readonly files: readonly ExportedFile[];
  /**
   * Lists the files with the hashes that the folder itself says they were written with. It is null when the folder says nothing
   * about them.
   */
  readonly written: readonly ExportedFile[] | null;
}
/** Says which export, adapter and run an exported file or folder comes from. */
export interface Identification {
  readonly path: string;
  /**
   * Says whether it was recognized by the hash of its files, by the version recorded for its location, or by its own metadata.
   */
  readonly by: 'hash' | 'place' | 'metadata';
  /** Holds the record of the export, or null when this data folder has none. */
  readonly export: ExportRecord | null;
  readonly adapter: AdapterVersion | null;
  /** Lists other versions with the same numbers, which equal runs produce. */
  readonly equal: readonly AdapterVersion[];
  readonly run: Run | null;
  readonly lineage: Lineage | null;
  /** Names the files that have changed since they were written. It is null when that cannot be determined. */
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
  /** Lists the files that were written, with their hashes. */
  readonly files: readonly ExportedFile[];
  readonly problem: ProblemValue | null;
  /** Tells a person what to know about the export that was just written, in sentences. These are not stored. */
  readonly notes?: readonly string[];
  readonly createdAt: number;
}
/** Names another program that models can be installed into. */
export type InstallProgram = 'ollama' | 'lm-studio' | 'jan';
export interface Program {
  readonly program: InstallProgram;
  /** Gives the path of its executable or its folder, or null when it was not found. */
  readonly place: string | null;
}
export interface InstallResult {
  readonly program: InstallProgram;
  /** Gives the name of the model in the program. */
  readonly name: string;
  readonly place: string;
  /** Holds the model's answer to a first question, or null when nothing was asked. */
  readonly answer: string | null;
}
/** Describes one format of exports, for the screen and for `--format`. */
export interface ExportChoice {
  readonly format: ExportFormat;
  readonly quantization: Quantization | null;
  readonly title: string;
  /** Says in one line which programs run it. */
  readonly runsIn: string;
  readonly bytes: number;
}
export interface ExportRequest extends ReadingRows {
  readonly projectId?: string;
  readonly model: ModelRef;
  /** Lists the adapters that are merged together; the list is empty for the model alone. A weight that is left out is 1. */
  readonly adapters: readonly (Ref & { readonly weight?: number })[];
  readonly format: ExportFormat;
  readonly quantization: Quantization | null;
  readonly out: string;
  readonly proof: boolean;
  /**
   * Says that a person agreed to replace what is at `out` once the new export is written and proved. If it is left out, an
   * existing file or folder is refused.
   */
  readonly replace?: boolean;
  /** Names rows for the proof. If it is left out, they are the evaluation rows of the adapter's run, or built-in ones. */
  readonly data?: DataRef;
  /**
   * Names the rows on which the importance of columns is measured, for quantized types. If it is left out, they are those of
   * the adapter's run where the type needs it.
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
   * Says which export, adapter and run a file or folder comes from, and whether it is unchanged. It is null when nothing is
   * known of it.
   */
  'exports.identify': (p: { path: string }) => Identification | null;
}
export interface ExportEvents {
  'export.changed': ExportRecord;
}
