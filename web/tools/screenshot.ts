/** A picture of the page for the README: node build/screenshot.mjs SITE OUT.png, SITE being what `make site` builds. */

import { execFileSync } from 'node:child_process';

import puppeteer from 'puppeteer-core';

import { serve } from '../test/server.js';

const [site, out] = process.argv.slice(2) as [string, string];
const host = await serve(site);
const executablePath = execFileSync('sh', ['-c', 'command -v chromium']).toString().trim();
const browser = await puppeteer.launch({ executablePath, args: ['--no-sandbox', '--disable-gpu'] });
try {
  const page = await browser.newPage();
  page.setDefaultTimeout(120000);
  await page.setViewport({ width: 1280, height: 900 });
  await page.goto(host.url);
  await page.waitForSelector('#samples button img');
  await page.select('#line', '0');
  await page.click('#samples button');
  await page.waitForFunction(
    () =>
      document.querySelectorAll('#rows tr').length > 0 &&
      (document.getElementById('stop') as HTMLButtonElement).disabled,
  );
  await page.$eval('input#bytes', (slider) => {
    slider.value = String(Number(slider.max) * 0.2);
    slider.dispatchEvent(new Event('input'));
  });
  await new Promise((resolve) => setTimeout(resolve, 3000));
  await page.screenshot({ path: out as `${string}.png`, fullPage: true });
} finally {
  await browser.close();
  host.close();
}
