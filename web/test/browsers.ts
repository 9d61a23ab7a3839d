/** Browsers that tests look for. */

import fs from 'node:fs';
import path from 'node:path';

export const BROWSERS = [
  ['chrome', ['chromium', 'chromium-browser', 'google-chrome']],
  ['firefox', ['firefox-esr', 'firefox']],
] as const;

/** Where the first of some programs lies. */
export function found(names: readonly string[]): string | undefined {
  const folders = (process.env.PATH ?? '').split(':');
  return names.flatMap((name) => folders.map((folder) => path.join(folder, name))).find((file) => fs.existsSync(file));
}
