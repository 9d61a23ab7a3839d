/** A static host for tests. */

import fs from 'node:fs';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import path from 'node:path';

const TYPES: Record<string, string> = { html: 'text/html', js: 'text/javascript', css: 'text/css', png: 'image/png' };

/** Serves folders, the first that has a file; `?rate=N` sends N bytes a second. */
export async function serve(...folders: string[]): Promise<{ url: string; close: () => void }> {
  const server = http.createServer((request, response) => {
    const url = new URL(request.url as string, 'http://x');
    const name = url.pathname.replace(/\/$/, '/index.html');
    const file = folders.map((folder) => path.join(folder, path.normalize(name))).find((place) => fs.existsSync(place));
    if (!file) {
      response.writeHead(404).end();
      return;
    }
    const data = fs.readFileSync(file);
    response.writeHead(200, { 'content-type': TYPES[path.extname(file).slice(1)] ?? 'application/octet-stream' });
    const rate = Number(url.searchParams.get('rate'));
    if (!rate) {
      response.end(data);
      return;
    }
    let at = 0;
    const timer = setInterval(() => {
      response.write(data.subarray(at, (at += rate / 20)));
      if (at < data.length) return;
      clearInterval(timer);
      response.end();
    }, 50);
    response.on('close', () => clearInterval(timer));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`, close: () => server.close() };
}
