/** Says which formats each program takes that an export can be taken to. */
import type { ExportFormat, InstallProgram } from '../../../engine/contract.ts';

export const programNames: Readonly<Record<InstallProgram, string>> = {
  ollama: 'Ollama',
  'lm-studio': 'LM Studio',
  jan: 'Jan',
};

const formats: Readonly<Record<InstallProgram, readonly ExportFormat[]>> = {
  ollama: ['ollama'],
  'lm-studio': ['gguf', 'ollama'],
  jan: ['gguf', 'ollama'],
};
export const takes = (program: InstallProgram, format: ExportFormat): boolean => formats[program].includes(format);
