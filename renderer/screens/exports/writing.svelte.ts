import type { AdapterVersion, ExportChoice, ExportRecord } from '../../../engine/contract.ts';
import { problemOf } from '../../state/engine.ts';
import type { Studio } from '../../state/studio.svelte.ts';
import { keyOf } from './places.ts';
import { isFolder, shortName, suggestedName } from './short-name.ts';

/** Writes exports where a person wants them, and keeps those that were requested and have no record yet. */
export class Writing {
  #starting = $state.raw<ReadonlySet<string>>(new Set());
  readonly #studio: Studio;

  constructor(studio: Studio) {
    this.#studio = studio;
  }

  isStarting(adapterId: string | undefined, choice: ExportChoice): boolean {
    return this.#starting.has(startKey(adapterId, choice));
  }

  /** Asks where to write an export; null when the person cancels. */
  place(of: AdapterVersion, choice: ExportChoice): Promise<string | null> {
    return this.#studio.engine.request('shell.chooseSavePath', {
      title: `Write ${shortName(choice)}`,
      suggested: suggestedName(choice, of.runName ?? of.name),
      directory: isFolder(choice),
    });
  }

  /** Writes an export. Returns null when it was written or stopped, or else why it failed and its record. */
  async write(
    of: AdapterVersion,
    choice: ExportChoice,
    out: string,
  ): Promise<{ readonly error: unknown; readonly record: ExportRecord | null } | null> {
    const { exports, notices } = this.#studio;
    const key = startKey(of.id, choice);
    this.#starting = new Set([...this.#starting, key]);
    try {
      const written = await exports.start({
        projectId: of.projectId,
        model: of.modelId === null ? { path: of.modelPath } : { id: of.modelId },
        adapters: [{ id: of.id }],
        format: choice.format,
        quantization: choice.quantization,
        out,
        // The system's dialog asks before it returns a path that exists.
        replace: true,
        proof: true,
      });
      const proved = written.proof?.passed === true;
      notices.done(
        `${shortName(choice)} written${proved ? ' and proved' : ', but it is further from what was trained than its limit'}`,
      );
      return null;
    } catch (error) {
      // A stop was requested; anything else is also kept in the record, but another screen may be open.
      if (problemOf(error).code === 'stopped') return null;
      // The list is newest first.
      const record = exports.list.items.find(({ path, state }) => path === out && state === 'failed') ?? null;
      return { error, record };
    } finally {
      this.#starting = new Set([...this.#starting].filter((other) => other !== key));
    }
  }
}

const startKey = (adapterId: string | undefined, choice: ExportChoice): string => `${adapterId ?? ''} ${keyOf(choice)}`;
