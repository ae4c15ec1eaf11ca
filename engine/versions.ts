/** Lists the versions of the software that made a run, which the run records. */
import packageFile from '../package.json' with { type: 'json' };

export const versions = {
  studio: packageFile.version,
  node: process.versions.node,
  onnxruntime: packageFile.dependencies['onnxruntime-node'],
} as const;
export type Versions = Readonly<Record<keyof typeof versions, string>>;
