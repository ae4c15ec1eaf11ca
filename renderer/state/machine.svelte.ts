import type { DeviceInfo, MachineInfo } from '../../engine/contract.ts';
import { Asked } from './asked.svelte.ts';
import type { Engine } from './engine.ts';

const memoryEvery = 3000;

/** Knows which device trains, why no faster one does, and how much memory is in use. */
export class MachineState {
  readonly info = new Asked<MachineInfo>();
  readonly memory = new Asked<{ used: number; free: number }>();
  readonly #engine: Engine;

  readonly device: DeviceInfo | null = $derived(
    this.info.value?.devices.find((device) => device.provider === this.info.value?.chosen) ?? null,
  );
  /** Says why a faster device is not used, or is null where there is none. */
  readonly reason: string | null = $derived(
    this.info.value?.devices.find((device) => !device.usable && device.reason !== null)?.reason ?? null,
  );

  constructor(engine: Engine) {
    this.#engine = engine;
    engine.on('machine.changed', (info) => void this.info.ask(() => Promise.resolve(info)));
    setInterval(() => {
      if (document.visibilityState === 'visible') void this.measure();
    }, memoryEvery);
  }

  async load(): Promise<void> {
    await Promise.all([this.info.ask(() => this.#engine.request('machine.get')), this.measure()]);
  }

  async measure(): Promise<void> {
    await this.memory.ask(() => this.#engine.request('machine.memory'));
  }
}
