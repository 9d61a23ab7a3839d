// Bundles: `node build.mjs` makes dist/, `node build.mjs tests` makes build/test/.
import { build } from 'esbuild';
import fs from 'node:fs';
import { deflateSync } from 'node:zlib';

const common = { bundle: true, format: 'esm', target: 'es2022', logLevel: 'warning', legalComments: 'none' };

/** The wasm module in both forms, as text: no bundler has to find a file. */
const wasm = {
  name: 'wasm',
  setup(build) {
    build.onResolve({ filter: /^rgru-wasm$/ }, ({ path }) => ({ path, namespace: 'wasm' }));
    build.onLoad({ filter: /.*/, namespace: 'wasm' }, () => {
      const inlined = ['simd', 'relaxed'].map((name) => `export const ${name} = of('${deflateSync(fs.readFileSync(`wasm/${name}.wasm`), { level: 9 }).toString('base64')}');`);
      return { contents: `const of = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));\n${inlined.join('\n')}` };
    });
  },
};

/** The worker's program, as text: it runs from a blob, wherever the page comes from. */
const worker = {
  name: 'worker',
  setup(build) {
    build.onResolve({ filter: /^rgru-worker$/ }, ({ path }) => ({ path, namespace: 'worker' }));
    build.onLoad({ filter: /.*/, namespace: 'worker' }, () => ({ contents: fs.readFileSync('dist/worker.js', 'utf8'), loader: 'text' }));
  },
};

async function library() {
  fs.rmSync('dist', { recursive: true, force: true });
  const browser = { ...common, platform: 'browser', minify: true };
  await build({ ...browser, format: 'iife', entryPoints: ['src/worker.ts'], outfile: 'dist/worker.js', plugins: [wasm] });
  await build({ ...browser, entryPoints: ['src/index.ts', 'src/element.ts'], outdir: 'dist', splitting: true, plugins: [worker] });
  await build({ ...common, platform: 'node', entryPoints: ['src/node.ts'], outfile: 'dist/node.js', plugins: [wasm] });
}

async function tests() {
  fs.rmSync('build/test', { recursive: true, force: true });
  const entryPoints = fs.readdirSync('test').filter((name) => name.endsWith('.test.ts')).map((name) => `test/${name}`);
  const options = { platform: 'node', packages: 'external', outExtension: { '.js': '.mjs' }, sourcemap: 'inline' };
  await build({ ...common, ...options, entryPoints, outdir: 'build/test', plugins: [wasm] });
}

await (process.argv[2] === 'tests' ? tests() : library());
