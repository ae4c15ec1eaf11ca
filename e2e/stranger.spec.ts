/** Checks that the window withstands whatever a script tries that gets into the page. */
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { networkInterfaces, tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import type { Answer } from '../engine/contract.ts';
import { expect, Studio, test as base } from './studio.ts';

const model = resolve(import.meta.dirname, '../resources/tiny/model');
/** Opens one window for all tests. Its console is not checked for complaints, because refusals are reported there. */
const test = base.extend<object, { open: Studio; away: string }>({
  open: [
    // eslint-disable-next-line no-empty-pattern -- Playwright reads the fixtures a fixture needs from its first parameter
    async ({}, use) => {
      const dataDir = mkdtempSync(join(tmpdir(), 'lowrank-e2e-'));
      const studio = await Studio.open(dataDir);
      await use(studio);
      await studio.close();
      rmSync(dataDir, { recursive: true, force: true, maxRetries: 20, retryDelay: 300 });
    },
    { scope: 'worker' },
  ],
  away: [
    // eslint-disable-next-line no-empty-pattern -- as above
    async ({}, use) => {
      const away = mkdtempSync(join(tmpdir(), 'lowrank-e2e-away-'));
      await use(away);
      rmSync(away, { recursive: true, force: true });
    },
    { scope: 'worker' },
  ],
});

/** Asks as a script in the page would, with values that need not be JSON. */
function ask(studio: Studio, name: string, params: string): Promise<Answer<unknown>> {
  return studio.page.evaluate(`window.studio.request(${JSON.stringify(name)}, ${params})`);
}
const outcome = async (studio: Studio, name: string, params: object): Promise<string> => {
  const answer = await ask(studio, name, JSON.stringify(params));
  return 'ok' in answer ? 'ok' : answer.problem.code;
};

test('nothing leaves by the network, whatever a script tries', async ({ open }) => {
  const ip =
    Object.values(networkInterfaces())
      .flat()
      .find((one) => one?.family === 'IPv4' && !one.internal)?.address ?? '127.0.0.1';
  const arrived: string[] = [];
  const packets = createSocket('udp4').on('message', (message) => arrived.push(`a packet of ${message.length} bytes`));
  packets.bind(0, '0.0.0.0');
  await once(packets, 'listening');
  const { port } = packets.address();
  const connections = createServer((socket) => {
    arrived.push('a connection');
    socket.destroy();
  }).listen(port, '0.0.0.0');
  await once(connections, 'listening');

  const tried = await open.page.evaluate(
    async ({ ip, port }) => {
      const at = `${ip}:${port}`;
      const done: string[] = [];
      const attempt = (name: string, work: () => unknown): void => {
        try {
          Promise.resolve(work()).catch(() => undefined);
          done.push(name);
        } catch (error) {
          done.push(`${name}: ${(error as Error).name}`);
        }
      };
      const element = (tag: string, attributes: Record<string, string>): void => {
        const made = document.createElement(tag);
        for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
        document.body.append(made);
        if (tag === 'form') (made as HTMLFormElement).submit();
        if (tag === 'a') made.click();
        setTimeout(() => made.remove(), 1000);
      };
      attempt('fetch', () => fetch(`http://${at}/`, { mode: 'no-cors' }));
      attempt('beacon', () => navigator.sendBeacon(`http://${at}/`, 'x'));
      attempt('WebSocket', () => new WebSocket(`ws://${at}/`));
      attempt('EventSource', () => new EventSource(`http://${at}/`));
      attempt('WebTransport', () => new WebTransport(`https://${at}/`).ready);
      attempt('image', () => (new Image().src = `http://${at}/a.png`));
      attempt('worker', () => new Worker(`http://${at}/a.js`));
      attempt('blob worker', () => new Worker(URL.createObjectURL(new Blob([`fetch('http://${at}/')`]))));
      for (const rel of ['dns-prefetch', 'preconnect', 'prefetch', 'preload', 'stylesheet', 'modulepreload', 'manifest'])
        attempt(rel, () => element('link', { rel, href: `http://${at}/${rel}`, as: 'image' }));
      attempt('script', () => element('script', { src: `http://${at}/a.js` }));
      attempt('frame', () => element('iframe', { src: `http://${at}/` }));
      attempt('srcdoc', () => element('iframe', { srcdoc: `<img src="http://${at}/b.png">` }));
      attempt('object', () => element('object', { data: `http://${at}/` }));
      attempt('video', () => element('video', { src: `http://${at}/a.mp4`, autoplay: '' }));
      attempt('form', () => element('form', { action: `http://${at}/`, method: 'post' }));
      attempt('ping', () => element('a', { href: '#/overview', ping: `http://${at}/` }));
      attempt('style', () => element('div', { style: `background-image: url(http://${at}/c.png)` }));
      attempt('navigation', () => void (location.href = `http://${at}/`));
      attempt('refresh', () => element('meta', { 'http-equiv': 'refresh', content: `0; url=http://${at}/` }));

      const username = 'u';
      const servers = ['stun:', 'turn:', 'turns:'].flatMap((kind) =>
        [at, `localhost:${port}`].flatMap((where) =>
          (kind === 'stun:' ? [''] : ['?transport=udp', '?transport=tcp']).map((way) => `${kind}${where}${way}`),
        ),
      );
      const peer = (): RTCPeerConnection =>
        new RTCPeerConnection({ iceServers: [{ urls: servers, username, credential: 'c' }] });
      const [one, other] = [peer(), peer()];
      const candidates: string[] = [];
      one.onicecandidate = ({ candidate }) => {
        if (candidate !== null && candidate.candidate !== '') candidates.push(candidate.candidate);
        if (candidate !== null) void other.addIceCandidate(candidate);
      };
      one.createDataChannel('out');
      await one.setLocalDescription(await one.createOffer());
      await other.setRemoteDescription(one.localDescription!);
      await other.setLocalDescription(await other.createAnswer());
      await one.setRemoteDescription(other.localDescription!);
      for (const way of [`udp 2122260223 ${ip} ${port} typ host`, `tcp 1518280447 ${ip} ${port} typ host tcptype passive`])
        await one.addIceCandidate({ candidate: `candidate:1 1 ${way}`, sdpMid: '0', sdpMLineIndex: 0 });
      await new Promise((resolve) => setTimeout(resolve, 1500));
      one.close();
      other.close();
      return { done: done.length, candidates };
    },
    { ip, port },
  );
  packets.close();
  connections.close();
  expect(arrived).toEqual([]);
  // Not even the addresses of this machine are told.
  expect(tried).toEqual({ done: 25, candidates: [] });
  expect(open.page.url()).toMatch(/^app:\/\/studio\//);
});

test('nothing leads out of the page, and an empty one is left again', async ({ open, away }) => {
  const { app, page } = open;
  await app.evaluate(({ shell, app, session }, away) => {
    const seen: string[] = ((globalThis as unknown as { seen: string[] }).seen = []);
    shell.openExternal = (url) => Promise.resolve(void seen.push(`opened ${url}`));
    app.on('browser-window-created', () => seen.push('a window'));
    app.setPath('downloads', away);
    session.defaultSession.on('will-download', (event, item) => {
      // Listeners are called in their order: ours has refused it before this one is asked.
      if (!event.defaultPrevented) seen.push(`a download of ${item.getURL()}`);
    });
  }, away);
  const tried = await page.evaluate(async () => {
    const click = (href: string, attributes: Record<string, string> = {}): void => {
      const link = document.createElement('a');
      link.href = href;
      for (const [name, value] of Object.entries(attributes)) link.setAttribute(name, value);
      document.body.append(link);
      link.click();
      link.remove();
    };
    click('data:text/plain,out', { download: 'out.txt' });
    click(URL.createObjectURL(new Blob(['out'])), { download: 'blob.txt' });
    click('app://studio/index.html', { download: 'page.html' });
    for (const href of [
      'https://example.com/',
      'file:///etc/passwd',
      'mailto:a@example.com',
      'vscode://file/etc',
      'data:text/html,x',
    ])
      for (const target of ['_self', '_blank']) click(href, { target });
    for (const href of ['app://other/', 'app://studio.example.com/', 'app://studio:99/', 'chrome://gpu/', 'javascript:void 0'])
      click(href);
    const opened = ['about:blank', 'https://example.com/', 'file:///etc/passwd', 'app://studio/'].filter(
      (url) => window.open(url) !== null,
    );
    const read = async (url: string): Promise<string> =>
      fetch(url).then(
        (answer) => String(answer.status),
        () => 'refused',
      );
    const loads = (url: string): Promise<string> =>
      new Promise((done) => {
        const image = new Image();
        image.onload = () => done('loaded');
        image.onerror = () => done('refused');
        image.src = url;
      });
    const devices = navigator as unknown as Record<string, { requestDevice(options: object): Promise<unknown> } | undefined>;
    const granted = async (work: Promise<unknown> | undefined): Promise<boolean> =>
      work === undefined
        ? false
        : work.then(
            (value) => value !== 'denied',
            () => false,
          );
    return {
      opened,
      read: [
        await read('app://studio/index.html'),
        await read('file:///etc/passwd'),
        await loads('app://studio/..%2f..%2fpackage.json'),
      ],
      granted: (
        await Promise.all([
          granted(Notification.requestPermission()),
          granted(navigator.mediaDevices?.getUserMedia({ audio: true })),
          granted(navigator.mediaDevices?.getDisplayMedia()),
          granted(navigator.clipboard?.readText()),
          granted(devices['bluetooth']?.requestDevice({ acceptAllDevices: true })),
          granted(devices['usb']?.requestDevice({ filters: [] })),
          granted(devices['hid']?.requestDevice({ filters: [] })),
          granted(new Promise((yes, no) => navigator.geolocation.getCurrentPosition(yes, no))),
          granted((window as unknown as { showOpenFilePicker?: () => Promise<unknown> }).showOpenFilePicker?.()),
        ])
      ).filter((one) => one),
      webview: document.createElement('webview').constructor === HTMLElement,
    };
  });
  expect(tried).toEqual({ opened: [], read: ['refused', 'refused', 'refused'], granted: [], webview: true });

  await page.evaluate(() => void (location.href = 'about:blank'));
  await expect(page.getByRole('heading', { level: 1 }).first()).toBeVisible();
  expect(page.url()).toMatch(/^app:\/\/studio\//);
  expect(await app.evaluate(() => (globalThis as unknown as { seen: string[] }).seen)).toEqual([]);
  expect(app.windows()).toHaveLength(1);
  expect(readdirSync(away)).toEqual([]);
});

test('the page names only paths that a person chose or dropped, or that the store holds', async ({ open, away }) => {
  const { page } = open;
  const rows = join(away, 'rows.jsonl');
  writeFileSync(rows, '{"messages":[{"role":"user","content":"a"},{"role":"assistant","content":"b"}]}\n');
  const secret = join(away, 'secret.jsonl');
  symlinkSync(rows, secret);

  await open.app.evaluate(({ shell }) => {
    shell.showItemInFolder = () => undefined;
  });
  const names = (path: string): Promise<string> => outcome(open, 'shell.showInFolder', { path });

  // Nobody chose these.
  expect(await outcome(open, 'inspect.path', { path: '/etc/passwd' })).toBe('not-allowed');
  expect(await outcome(open, 'datasets.columns', { path: rows })).toBe('not-allowed');
  expect(await names('/etc')).toBe('not-allowed');
  const id =
    (await open.request('projects.list', undefined))[0]?.id ?? (await open.request('projects.create', { name: 'Paths' })).id;
  expect(await outcome(open, 'models.add', { projectId: id, path: model })).toBe('not-allowed');

  // What a dialog answered stays allowed, for a page that was loaded again too, and in its spelling alone.
  await open.choose([rows, model]);
  expect(await outcome(open, 'datasets.columns', { path: rows })).toBe('ok');
  await page.reload();
  await page.getByRole('heading', { level: 1 }).first().waitFor();
  expect(await names(rows)).toBe('ok');
  expect(await names(secret)).toBe('not-allowed');
  expect(await outcome(open, 'datasets.columns', { path: `${away}/./rows.jsonl` })).toBe('not-allowed');

  // What the store holds may be named, and a place to write to is another thing.
  const [embedded] = await open.request('models.list', { projectId: id });
  expect(await names(embedded!.path)).toBe('ok');
  const added = await open.request('models.add', { projectId: id, path: model });
  const written = {
    projectId: id,
    model: { id: added.id },
    adapters: [],
    format: 'safetensors',
    quantization: 'f32',
    proof: false,
  };
  for (const out of [rows, model, join(away, 'new')])
    expect(await outcome(open, 'exports.start', { ...written, out, replace: true })).toBe('not-allowed');
  expect(readdirSync(away).sort()).toEqual(['rows.jsonl', 'secret.jsonl']);

  // A drop that a script makes up names nothing; a real one does, a link among them; a dragged address is nothing at all.
  await page.evaluate(() => {
    const dataTransfer = new DataTransfer();
    dataTransfer.items.add(new File(['x'], 'secret.jsonl'));
    window.dispatchEvent(new DragEvent('drop', { dataTransfer, bubbles: true }));
  });
  expect(await names(secret)).toBe('not-allowed');
  const session = await page.context().newCDPSession(page);
  const drop = async (data: { items: object[]; files: string[] }): Promise<void> => {
    for (const type of ['dragEnter', 'dragOver', 'drop'] as const)
      await session.send('Input.dispatchDragEvent', {
        ...{ type, x: 600, y: 300 },
        data: { ...data, items: data.items as never, dragOperationsMask: 1 },
      });
  };
  await drop({ items: [{ mimeType: 'text/uri-list', data: 'https://example.com/' }], files: [] });
  expect(page.url()).toMatch(/^app:\/\/studio\//);
  await drop({ items: [], files: [secret] });
  await expect.poll(() => names(secret)).toBe('ok');
});

test('whatever a script sends is answered, and the shell lives', async ({ open }) => {
  const strange = [
    ...['undefined', 'null', '7', '"text"', '[]', '({})', '10n', '(() => { const a = {}; a.a = a; return a; })()'],
    ...[
      'new Map([[1, 2]])',
      'new Date(0)',
      'new String("x")',
      '({ path: new String("/etc") })',
      '({ ["__proto__"]: { path: "/etc" } })',
    ],
    ...[
      '({ commands: [{ id: "a", title: "a", menu: "File", shortcut: "Mod+Nonsense", enabled: true }] })',
      '({ kind: "constructor", title: "" })',
    ],
    ...['({ path: "/etc/\\0passwd" })', '({ text: { length: 3 } })', 'new Uint8Array(9)', 'NaN', '-1'],
  ];
  const shell = ['chooseFiles', 'chooseSavePath', 'showInFolder', 'setTheme', 'setMenu', 'notify'].map(
    (name) => `shell.${name}`,
  );
  for (const name of [...shell, 'models.add', 'generate.start', 'constructor', '__proto__', 'shell.constructor'])
    for (const params of strange) {
      const answer = await ask(open, name, params);
      const code = 'problem' in answer ? answer.problem.code : 'ok';
      expect(['request-invalid', 'not-allowed'], `${name} ${params}: ${JSON.stringify(answer)}`).toContain(code);
    }
  expect(await ask(open, 'shell.copyText', '({ text: "x".repeat(17e6) })')).toMatchObject({
    problem: { code: 'request-invalid' },
  });
  expect(await open.page.evaluate('window.studio.request({ name: "machine.get" })')).toMatchObject({
    problem: { code: 'not-allowed' },
  });
  expect(await outcome(open, 'projects.list', {})).toBe('ok');

  // The same page in another window, with the same bridge, is not the one that is answered.
  const other = await open.app.evaluate(async ({ app, BrowserWindow }) => {
    const preload = `${app.getAppPath()}/out/preload/preload.cjs`;
    const window = new BrowserWindow({ show: false, webPreferences: { preload, sandbox: true } });
    await window.loadURL('app://studio/');
    const answer = (await window.webContents.executeJavaScript("studio.request('projects.list')")) as unknown;
    window.destroy();
    return answer;
  });
  expect(other).toMatchObject({ problem: { code: 'not-allowed' } });
});
