/** Writes safetensors in one file, or in several with an index where one would be too large for a hub. */
import { join } from 'node:path';
import { writeFileAtomic } from '../formats/files.ts';
import { planBytes, SafetensorsWriter, type SafetensorsPlan } from '../formats/safetensors.ts';

/** Gives the size at which transformers splits files: 5 GB. */
export const usualShardBytes = 5e9;

export interface Shard {
  readonly name: string;
  readonly plan: readonly SafetensorsPlan[];
}

/** Divides the tensors into shards of at most `limit` bytes, in the order of the plan. A larger tensor is a shard by itself. */
export function planShards(plan: readonly SafetensorsPlan[], limit: number): Shard[] {
  const groups: SafetensorsPlan[][] = [[]];
  let bytes = 0;
  for (const tensor of plan) {
    const own = planBytes(tensor);
    if (bytes > 0 && bytes + own > limit) {
      groups.push([]);
      bytes = 0;
    }
    groups.at(-1)!.push(tensor);
    bytes += own;
  }
  const number = (n: number): string => String(n).padStart(5, '0');
  return groups.map((group, i) => ({
    name: groups.length === 1 ? 'model.safetensors' : `model-${number(i + 1)}-of-${number(groups.length)}.safetensors`,
    plan: group,
  }));
}

/** Writes tensors into the planned shards, one after the other; `finish` adds the index where there are several. */
export class ShardedWriter {
  readonly #folder: string;
  readonly #shards: readonly Shard[];
  readonly #metadata: Readonly<Record<string, string>>;
  #writer: SafetensorsWriter | null = null;
  #shard = -1;
  #left = 0;

  constructor(folder: string, shards: readonly Shard[], metadata: Readonly<Record<string, string>>) {
    this.#folder = folder;
    this.#shards = shards;
    this.#metadata = metadata;
  }

  /** Writes the next tensor of the plan. */
  write(values: Float32Array): void {
    if (this.#left === 0) {
      this.#writer?.finish();
      const { name, plan } = this.#shards[++this.#shard]!;
      this.#writer = new SafetensorsWriter(join(this.#folder, name), plan, this.#metadata);
      this.#left = plan.length;
    }
    this.#writer!.write(values);
    this.#left--;
  }

  finish(): void {
    if (this.#left > 0 || this.#shard !== this.#shards.length - 1) throw new Error('tensors are missing');
    this.#writer!.finish();
    if (this.#shards.length === 1) return;
    const index = {
      metadata: { total_size: this.#shards.flatMap(({ plan }) => plan).reduce((sum, tensor) => sum + planBytes(tensor), 0) },
      weight_map: Object.fromEntries(this.#shards.flatMap(({ name, plan }) => plan.map((tensor) => [tensor.name, name]))),
    };
    writeFileAtomic(join(this.#folder, 'model.safetensors.index.json'), `${JSON.stringify(index, null, 2)}\n`);
  }

  /** Removes an unfinished file. */
  abort(): void {
    this.#writer?.abort();
  }
}
