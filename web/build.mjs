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
  const marked = await import('marked');
  const docs = fs.readdirSync('../docs').filter((name) => name.endsWith('.md'));
  const drawn = fs.readdirSync('../docs').filter((name) => /\.(png|webp|jpg|svg|csv)$/.test(name));
  const pages = [
    ...docs.map((name) => [`../docs/${name}`, name]),
    ['../format/SPEC.md', 'SPEC.md'],
    ['../format/ERRATA.md', 'ERRATA.md'],
    ['../README.md', 'README.md'],
  ];
  fs.mkdirSync(path.join(to, 'docs'), { recursive: true });
  for (const name of drawn) fs.copyFileSync(`../docs/${name}`, path.join(to, 'docs', name));
  const here = new Set([...pages.map(([, name]) => name), ...drawn]);
  for (const [from, name] of pages)
    writeDocument(marked, fs.readFileSync(from, 'utf8'), path.join(to, 'docs', name.replace(/md$/, 'html')), here);
  const list = pages
    .map(([, name]) => `* [${name.replace('.md', '')}](${name})`)
    .sort()
    .join('\n');
  writeDocument(
    marked,
    `# Documents\n\n${list}\n\n[Back to the page](../index.html)`,
    path.join(to, 'docs/index.html'),
    here,
  );
}

/** Documents point at each other as files of the repository; what is not `here` is no link. */
function writeDocument(marked, text, file, here) {
  const title = /^# (.*)$/m.exec(text)?.[1] ?? 'rgru';
  const renderer = new marked.Renderer();
  renderer.heading = function ({ tokens, depth, text }) {
    const id = text
      .toLowerCase()
      .replace(/[^\w\- ]/g, '')
      .replace(/ /g, '-');
    return `<h${depth} id="${id}">${this.parser.parseInline(tokens)}</h${depth}>\n`;
  };
  renderer.link = function ({ href, tokens }) {
    const words = this.parser.parseInline(tokens);
    const [, name, place = ''] = /([^/#]*)(#.*)?$/.exec(href);
    if (/^(https?:|#|\.\.\/index\.html$)/.test(href)) return `<a href="${href}">${words}</a>`;
    return here.has(name) ? `<a href="${name.replace(/\.md$/, '.html')}${place}">${words}</a>` : words;
  };
  renderer.image = ({ href, text }) => `<img src="${path.basename(href)}" alt="${text.replace(/"/g, '&quot;')}">`;
  const body = marked.parse(text, { renderer }).replace(/(<img[^>]* src=")(?:[^":]*\/)([^"/]+")/g, '$1$2');
  const head = `<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><title>${title}</title><link rel="stylesheet" href="../style.css">`;
  fs.writeFileSync(file, `${head}<body class="document"><main>${body}</main></body></html>\n`);
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
