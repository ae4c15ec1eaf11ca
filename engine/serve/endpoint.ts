/**
 * Opens the endpoint on this computer alone, and hands each request that may be listened to on to its route. Node's own server
 * is enough: there are two routes, both known by their whole path.
 */
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { logError, Problem } from '../problem.ts';
import { ApiError } from './api-error.ts';
import { hashOf, requireTrusted } from './guard.ts';
import { type Limits, usualLimits } from './limits.ts';
import { routeOf, type Served } from './routes.ts';
import { Turns } from './turns.ts';

/** Says what an endpoint is doing. */
export interface Activity {
  readonly answered: number;
  readonly waiting: number;
  readonly isAnswering: boolean;
}

export interface Endpoint {
  readonly port: number;
  /** Holds 256 random bits. It is kept nowhere else, the endpoint itself keeps its hash. */
  readonly token: string;
  readonly activity: Activity;
  /** Ends every answer and connection, and frees the port. */
  close(): Promise<void>;
}

export interface EndpointOptions {
  /** Gives the port. If it is left out, the system chooses a free one. */
  readonly port?: number | undefined;
  readonly limits?: Partial<Limits>;
  /** Is told whenever the activity has changed. */
  readonly onActivity?: (activity: Activity) => void;
}

/** Opens an endpoint. Throws a `Problem` where the port is taken. */
export async function openEndpoint(served: Served, options: EndpointOptions = {}): Promise<Endpoint> {
  const limits = { ...usualLimits, ...options.limits };
  const token = randomBytes(32).toString('base64url');
  const tokenHash = hashOf(token);
  const closing = new AbortController();
  let answered = 0;
  const activity = (): Activity => ({ answered, waiting: turns.waiting, isAnswering: turns.isTaken });
  const tell = (): void => options.onActivity?.(activity());
  const turns = new Turns(limits.waiting, tell);
  const respond = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const left = new AbortController();
    response.on('close', () => left.abort(new ApiError(499, 'client_gone', 'The client has gone away.')));
    response.on('error', () => left.abort());
    response.setHeader('Cache-Control', 'no-store');
    response.setHeader('X-Content-Type-Options', 'nosniff');
    try {
      requireTrusted(request, { port, tokenHash });
      const gone = AbortSignal.any([left.signal, closing.signal]);
      await routeOf(request).answer({ request, response, served, turns, limits, gone });
      answered++;
      tell();
    } catch (error) {
      refuse(response, error);
    }
  };
  const open = (): Server => {
    const { receiveMs, connections } = limits;
    const server = createServer(
      // A body has its own time, so this one is longer and only for what our routes never read.
      { headersTimeout: receiveMs, requestTimeout: 2 * receiveMs, connectionsCheckingInterval: Math.min(1000, receiveMs) },
      (request, response) => void respond(request, response),
    );
    server.maxConnections = connections;
    return server;
  };
  const { port, servers } = await listen(open, options.port);
  return {
    port,
    token,
    get activity() {
      return activity();
    },
    async close() {
      closing.abort(new ApiError(503, 'stopped', 'The endpoint has ended.'));
      const closed = servers.map((server) => once(server, 'close'));
      for (const server of servers) {
        server.close();
        server.closeAllConnections();
      }
      await Promise.all(closed);
    },
  };
}

/** Sends why a request was refused, and ends its connection, because there may be more of a body that nobody reads. */
function refuse(response: ServerResponse, error: unknown): void {
  if (!(error instanceof ApiError)) logError(error);
  if (response.headersSent) {
    response.destroy();
    return;
  }
  const refused =
    error instanceof ApiError ? error : new ApiError(500, 'internal', 'Something in the studio itself went wrong.');
  const headers = { ...refused.headers, 'Content-Type': 'application/json', Connection: 'close' };
  response.writeHead(refused.status, headers).end(JSON.stringify(refused.toBody()));
}

/** Gives how often a port that is free for one of the two addresses alone is looked for again. */
const mostTries = 10;

/** Listens on both addresses of this computer at one port; on a computer without IPv6 on the other alone. */
async function listen(open: () => Server, asked: number | undefined): Promise<{ port: number; servers: readonly Server[] }> {
  for (let tries = 1; ; tries++) {
    const first = open();
    await bind(first, asked ?? 0, '127.0.0.1').catch((error: unknown) => {
      throw portProblem(error, asked);
    });
    const { port } = first.address() as AddressInfo;
    const second = open();
    try {
      await bind(second, port, '::1');
      return { port, servers: [first, second] };
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE') return { port, servers: [first] };
      first.close();
      if (asked !== undefined || tries === mostTries) throw portProblem(error, port);
    }
  }
}

async function bind(server: Server, port: number, host: string): Promise<void> {
  server.listen({ port, host, exclusive: true });
  await once(server, 'listening');
  server.on('error', logError);
}

function portProblem(error: unknown, port: number | undefined): Problem {
  const why = (error as NodeJS.ErrnoException).code === 'EADDRINUSE' ? 'Another program uses it' : (error as Error).message;
  return new Problem(
    'not-allowed',
    `The endpoint cannot listen on ${port === undefined ? 'any port' : `port ${port}`}: ${why}.`,
    'Choose another port, or none, so that a free one is found.',
    { cause: error },
  );
}
