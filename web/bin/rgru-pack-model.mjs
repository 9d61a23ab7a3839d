#!/usr/bin/env node
// rgru-pack-model PACKAGE TO: a model package of Python as pages fetch it, in the folder TO/ID.
import fs from 'node:fs';
import path from 'node:path';

import { packModel } from '../dist/node.js';

const [from, to, ...more] = process.argv.slice(2);
const help = from === '--help' || from === '-h';
if (help || !from || !to || more.length) {
  console[help ? 'log' : 'error'](
    'usage: rgru-pack-model PACKAGE TO\n\nPACKAGE: a folder with model.json; TO: the folder of models of a page',
  );
  process.exit(help ? 0 : 2);
}
try {
  const id = await packModel(from, to);
  const chosen = path.join(to, 'default');
  if (!fs.existsSync(chosen)) fs.writeFileSync(chosen, `${id}\n`);
  console.log(path.join(to, id));
} catch (error) {
  console.error(`rgru-pack-model: ${error.message}`);
  process.exit(1);
}
