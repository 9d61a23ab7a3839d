// Bundles: `node build.mjs` makes dist/, `node build.mjs tests` build/test/, `node build.mjs site [FOLDER]` the page.
import { build } from 'esbuild';
import fs from 'node:fs';
import path from 'node:path';
import { deflateSync } from 'node:zlib';

const common = { bundle: true, format: 'esm', target: 'es2022', logLevel: 'warning', legalComments: 'none' };

/** The wasm module in both forms, as text: no bundler has to find a file. */
const wasm = {
  name: 'wasm',
  setup(build) {
    build.onResolve({ filter: /^rgru-wasm$/ }, ({ path }) => ({ path, namespace: 'wasm' }));
    build.onLoad({ filter: /.*/, namespace: 'wasm' }, () => {
      const inlined = ['simd', 'relaxed'].map(
        (name) =>
          `export const ${name} = of('${deflateSync(fs.readFileSync(`wasm/${name}.wasm`), { level: 9 }).toString('base64')}');`,
      );
      return {
        contents: `const of = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));\n${inlined.join('\n')}`,
      };
    });
  },
};

/** The worker's program, as text: it runs from a blob, wherever the page comes from. */
const worker = {
  name: 'worker',
  setup(build) {
    build.onResolve({ filter: /^rgru-worker$/ }, ({ path }) => ({ path, namespace: 'worker' }));
    build.onLoad({ filter: /.*/, namespace: 'worker' }, () => ({
      contents: fs.readFileSync('dist/worker.js', 'utf8'),
      loader: 'text',
    }));
  },
};

async function library() {
  fs.rmSync('dist', { recursive: true, force: true });
  const browser = { ...common, platform: 'browser', minify: true };
  await build({
    ...browser,
    format: 'iife',
    entryPoints: ['src/worker.ts'],
    outfile: 'dist/worker.js',
    plugins: [wasm],
  });
  await build({
    ...browser,
    entryPoints: ['src/index.ts', 'src/element.ts'],
    outdir: 'dist',
    splitting: true,
    plugins: [worker],
  });
  await build({ ...common, platform: 'node', entryPoints: ['src/node.ts'], outfile: 'dist/node.js', plugins: [wasm] });
}

async function tests() {
  fs.rmSync('build/test', { recursive: true, force: true });
  const entryPoints = fs
    .readdirSync('test')
    .filter((name) => name.endsWith('.test.ts'))
    .map((name) => `test/${name}`);
  const options = { platform: 'node', packages: 'external', outExtension: { '.js': '.mjs' }, sourcemap: 'inline' };
  await build({ ...common, ...options, entryPoints, outdir: 'build/test', plugins: [wasm] });
}

/** The page, in a folder that any static host serves; `dist/` must be there. Models and samples come in beside it. */
async function site(to = 'build/site') {
  const browser = { ...common, platform: 'browser', minify: true };
  await build({ ...browser, entryPoints: ['site/main.ts', 'site/measure.ts'], outdir: to, plugins: [worker] });
  for (const name of ['index.html', 'style.css']) fs.copyFileSync(`site/${name}`, path.join(to, name));
}

/** What speed is measured with, and what takes a picture of the page. */
async function tools() {
  const node = { platform: 'node', packages: 'external', outExtension: { '.js': '.mjs' } };
  await build({
    ...common,
    ...node,
    entryPoints: ['tools/speed.ts', 'tools/screenshot.ts', 'tools/heap.ts'],
    outdir: 'build',
    plugins: [wasm],
  });
  await build({ ...common, platform: 'browser', entryPoints: ['tools/networks.ts'], outdir: 'build', plugins: [wasm] });
}

const [what, ...rest] = process.argv.slice(2);
await ({ tests, site, tools }[what] ?? library)(...rest);
