/** Shows how far the engine is with what is asked of it; what others ask of the same engine is not shown. */
import type { JobSpec } from '../contract.ts';
import type { HostClient } from '../rpc.ts';
import type { Output } from './output.ts';

export async function showProgress<T>(
  client: HostClient,
  output: Output,
  kind: JobSpec['kind'],
  ask: () => Promise<T>,
): Promise<T> {
  const end = client.on('job.progress', (event) => {
    if (event.kind === kind && event.subjectId === null) output.progress(event.progress);
  });
  try {
    return await ask();
  } finally {
    end();
    output.end();
  }
}
