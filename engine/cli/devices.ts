/** `lowrank devices` */
import type { DeviceInfo } from '../contract.ts';
import type { Command } from './command.ts';

export const devices: Command = {
  usage: '[--again]',
  summary: 'every provider: usable or not, and why not; what was measured',
  options: { again: { type: 'boolean' } },
  async run({ args, output, connect }) {
    const host = await connect();
    const machine = await host.request('machine.measure', { again: args.flag('again') });
    output.document(machine);
    output.table(
      machine.devices.map((device) => [
        device.provider,
        device.provider === machine.chosen ? 'used' : device.usable ? 'usable' : 'not usable',
        device.name,
        device.reason ?? figures(device),
      ]),
    );
  },
};

function figures({ provider, measured }: DeviceInfo): string {
  if (measured === null) return '';
  const rate = `${measured.gflops.toPrecision(3)} GFLOP/s`;
  return provider === 'cpu' ? rate : `${rate}; differs from the processor by ${measured.difference.toExponential(1)} at most`;
}
