/** What is on the page, by name, and words for it. */

export function element<T extends HTMLElement>(id: string): T {
  return document.getElementById(id) as T;
}

export const page = {
  file: element<HTMLInputElement>('file'),
  samples: element<HTMLDivElement>('samples'),
  line: element<HTMLSelectElement>('line'),
  again: element<HTMLButtonElement>('again'),
  stop: element<HTMLButtonElement>('stop'),
  error: element<HTMLParagraphElement>('error'),
  status: element<HTMLParagraphElement>('status'),
  view: element<HTMLCanvasElement>('view'),
  left: element<HTMLSpanElement>('left'),
  right: element<HTMLSpanElement>('right'),
  bytes: element<HTMLInputElement>('bytes'),
  amount: element<HTMLOutputElement>('amount'),
  split: element<HTMLInputElement>('split'),
  out: element<HTMLButtonElement>('out'),
  in: element<HTMLButtonElement>('in'),
  factor: element<HTMLOutputElement>('factor'),
  flicker: element<HTMLButtonElement>('flicker'),
  save: element<HTMLButtonElement>('save'),
  png: element<HTMLButtonElement>('png'),
  curve: element<HTMLDivElement>('curve'),
  rows: element<HTMLTableSectionElement>('rows'),
  model: element<HTMLParagraphElement>('model'),
};

export function size(bytes: number): string {
  if (bytes < 1000) return `${bytes} bytes`;
  return bytes < 1e6 ? `${(bytes / 1000).toFixed(1)} kB` : `${(bytes / 1e6).toFixed(2)} MB`;
}

export function seconds(milliseconds: number): string {
  return `${(milliseconds / 1000).toFixed(1)} s`;
}

export function save(data: Blob, name: string): void {
  const link = document.createElement('a');
  link.href = URL.createObjectURL(data);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

export function show(error: unknown): void {
  page.error.hidden = !error;
  if (error) page.error.textContent = error instanceof Error ? error.message : String(error);
}
