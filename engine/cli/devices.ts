/** `lowrank devices` lists what can compute here, and measures it. */
import type { DeviceInfo } from '../contract.ts';
import { alsoNeeded, installCuda, removeCuda } from '../runtime/cuda.ts';
import type { Command } from './command.ts';

export const devices: Command = {
  usage: '[--again] | --install cuda | --remove cuda',
  summary: 'every provider: usable or not, and why not; what was measured',
  options: { again: { type: 'boolean' }, install: { type: 'string' }, remove: { type: 'string' } },
  async run({ args, output, connect, dataDir }) {
    if (args.text('install') !== undefined) {
      args.oneOf('install', ['cuda'], 'cuda');
      await installCuda(dataDir, {
        onSource: (sentence) => output.message(sentence),
        onBytes: (done, total) =>
          output.progress({
            phase: "Fetching CUDA's libraries",
            done: megabytes(done),
            total: megabytes(total),
            unit: 'MB',
            secondsLeft: null,
          }),
      });
      output.message(`CUDA's libraries are installed. ${alsoNeeded}`);
    }
    if (args.text('remove') !== undefined) {
      args.oneOf('remove', ['cuda'], 'cuda');
      output.message(removeCuda(dataDir) ? "CUDA's libraries were removed." : "CUDA's libraries were not installed.");
    }
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

function megabytes(bytes: number): number {
  return Math.ceil(bytes / 1e6);
}
