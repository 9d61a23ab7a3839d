/** The curve of quality over bytes, as SVG. */

export interface Point {
  bytes: number;
  quality: number;
}

const [WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM] = [640, 260, 52, 14, 10, 34];
const MARKS = [0.5, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.999];

/** Qualities near 1 are what is of interest: the axis is in decibels of what is missing. */
const decibels = (quality: number): number => -10 * Math.log10(Math.max(1 - quality, 1e-4));

/** `now`: bytes that are shown. */
export function curve(rgru: Point[], jpeg: Point[], now: number): string {
  const points = [...rgru, ...jpeg].filter(({ quality }) => quality > 0);
  if (!points.length) return '';
  const logs = points.map(({ bytes }) => Math.log(bytes));
  const heights = points.map(({ quality }) => decibels(quality));
  const [x0, x1] = [Math.min(...logs), Math.max(...logs) + 1e-9];
  const [y0, y1] = [Math.min(...heights) - 0.5, Math.max(...heights) + 0.5];
  const x = (bytes: number): string =>
    (LEFT + ((Math.log(bytes) - x0) / (x1 - x0)) * (WIDTH - LEFT - RIGHT)).toFixed(1);
  const y = (quality: number): string =>
    (HEIGHT - BOTTOM - ((decibels(quality) - y0) / (y1 - y0)) * (HEIGHT - TOP - BOTTOM)).toFixed(1);
  const inside = (value: number): boolean => decibels(value) >= y0 && decibels(value) <= y1;
  const parts = MARKS.filter(inside).map(
    (mark) =>
      `<line class="grid" x1="${LEFT}" x2="${WIDTH - RIGHT}" y1="${y(mark)}" y2="${y(mark)}"/><text x="${LEFT - 6}" y="${y(mark)}" dy=".35em" text-anchor="end">${mark}</text>`,
  );
  for (let bytes = 125; bytes < 4e8; bytes *= 2)
    if (Math.log(bytes) >= x0 && Math.log(bytes) <= x1)
      parts.push(
        `<text x="${x(bytes)}" y="${HEIGHT - 12}" text-anchor="middle">${bytes < 1000 ? `${bytes} B` : `${bytes / 1000} kB`}</text>`,
      );
  for (const [name, list] of [
    ['jpeg', jpeg],
    ['rgru', rgru],
  ] as const) {
    const seen = list.filter(({ quality }) => quality > 0).sort((a, b) => a.bytes - b.bytes);
    if (!seen.length) continue;
    const last = seen.at(-1) as Point;
    parts.push(`<polyline class="${name}" points="${seen.map((p) => `${x(p.bytes)},${y(p.quality)}`).join(' ')}"/>`);
    parts.push(...seen.map((p) => `<circle class="${name}" cx="${x(p.bytes)}" cy="${y(p.quality)}" r="3.5"/>`));
    const above = name === 'rgru' ? -10 : 18;
    parts.push(
      `<text class="${name}" x="${x(last.bytes)}" y="${y(last.quality)}" dy="${above}" text-anchor="end">${name}</text>`,
    );
  }
  if (Math.log(now) >= x0 && Math.log(now) <= x1)
    parts.push(`<line class="now" x1="${x(now)}" x2="${x(now)}" y1="${TOP}" y2="${HEIGHT - BOTTOM}"/>`);
  return `<svg viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label="MS-SSIM of rgru and of JPEG over bytes; the table below has the numbers">${parts.join('')}</svg>`;
}

/** Bytes at which a curve reaches a quality, between its points; null: it does not. */
export function bytesAt(points: Point[], quality: number): number | null {
  const sorted = points.filter((p) => p.quality > 0).sort((a, b) => a.bytes - b.bytes);
  for (const [i, p] of sorted.entries()) {
    const before = sorted[i - 1];
    if (p.quality < quality || !before || before.quality >= quality) continue;
    const part = (decibels(quality) - decibels(before.quality)) / (decibels(p.quality) - decibels(before.quality));
    return Math.exp(Math.log(before.bytes) + part * (Math.log(p.bytes) - Math.log(before.bytes)));
  }
  return null;
}
