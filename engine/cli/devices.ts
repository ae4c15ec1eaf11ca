/** `lowrank devices` */
import { machineInfo } from '../runtime/devices.ts';
import type { Command } from './command.ts';

export const devices: Command = {
  usage: '',
  summary: 'every provider: usable or not, and why not',
  options: {},
  run({ output }) {
    const machine = machineInfo();
    output.document(machine);
    output.table(
      machine.devices.map(({ provider, usable, name, reason }) => [
        provider,
        provider === machine.chosen ? 'used' : usable ? 'usable' : 'not usable',
        name,
        reason ?? '',
      ]),
    );
    return Promise.resolve();
  },
};
