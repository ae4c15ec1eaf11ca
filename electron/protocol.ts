/**
 * Serves the window's only origin: `app://studio/` with the built renderer and nothing else. In development the origin is that
 * of Vite's server.
 */
import { protocol, type Session } from 'electron';
import { readFile, realpath } from 'node:fs/promises';
import { extname, join, sep } from 'node:path';

/**
 * Gives the address from which `npm run dev` serves the page. A build for people has no trace of it, which scripts/build.mjs
 * checks.
 */
export const developmentServer: string | undefined = import.meta.env.DEV ? process.env['ELECTRON_RENDERER_URL'] : undefined;

export const origin = developmentServer ?? 'app://studio';

export function isOurs(url: string): boolean {
  if (!URL.canParse(url)) return false;
  const { protocol, host, username, password } = new URL(url);
  return `${protocol}//${host}` === origin && username === '' && password === '';
}

/** Allows content from the package only. Style attributes are allowed because components position things with them. */
export const contentSecurityPolicy = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "style-src-attr 'unsafe-inline'",
  "img-src 'self' data:",
  "font-src 'self'",
  "connect-src 'none'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ');

/** Lists the features for which Chromium asks no permission handler; the permissions policy closes them. */
const closedFeatures = [
  ...['accelerometer', 'camera', 'clipboard-read', 'clipboard-write', 'display-capture', 'geolocation'],
  ...['gyroscope', 'hid', 'idle-detection', 'local-fonts', 'magnetometer', 'microphone', 'midi', 'payment'],
  ...['publickey-credentials-get', 'screen-wake-lock', 'serial', 'storage-access', 'usb', 'window-management'],
];
const permissionsPolicy = closedFeatures.map((feature) => `${feature}=()`).join(', ');

const contentTypes: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.svg': 'image/svg+xml',
  '.png': 'image/png',
  '.woff2': 'font/woff2',
};

/** Declares the scheme `app`. It must be called before the application is ready. */
export function declareScheme(): void {
  protocol.registerSchemesAsPrivileged([
    { scheme: 'app', privileges: { standard: true, secure: true, supportFetchAPI: true } },
  ]);
}

export function serveRenderer(session: Session, folder: string): void {
  session.protocol.handle('app', (request) => answer(request, folder));
}

async function answer(request: Request, folder: string): Promise<Response> {
  const url = new URL(request.url);
  if (request.method !== 'GET' || url.host !== new URL(origin).host) return refuse(403);
  const file = await findInside(folder, url.pathname);
  if (file === null) return refuse(404);
  const contentType = contentTypes[extname(file)];
  if (contentType === undefined) return refuse(404);
  return new Response(new Uint8Array(await readFile(file)), {
    headers: {
      'content-type': contentType,
      'content-security-policy': contentSecurityPolicy,
      'permissions-policy': permissionsPolicy,
      'x-content-type-options': 'nosniff',
      'cross-origin-opener-policy': 'same-origin',
      'cache-control': 'no-cache',
    },
  });
}

/**
 * Returns the real path of the file that a URL names, or null when there is none or when dots or links lead out of `folder`.
 */
export async function findInside(folder: string, pathname: string): Promise<string | null> {
  try {
    const name = decodeURIComponent(pathname);
    if (name.includes('\0') || name.includes('\\')) return null;
    const base = await realpath(folder);
    const file = await realpath(join(base, name === '/' ? 'index.html' : name));
    return file.startsWith(base + sep) ? file : null;
  } catch {
    return null;
  }
}

function refuse(status: number): Response {
  return new Response(null, { status });
}
