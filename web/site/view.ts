/** The stage: two pictures in one place, split or by turns, zoomed and moved together. */

const MOST_ZOOM = 16;

export class View {
  left: ImageBitmap | null = null;
  right: ImageBitmap | null = null;
  /** Part of the width that shows the left picture. */
  split = 0.5;
  /** Null: no flicker; else whether the right picture is shown. */
  private turn: boolean | null = null;
  private timer = 0;
  /** Screen pixels a pixel; 0: as large as fits. */
  private zoom = 0;
  private center = { x: 0.5, y: 0.5 };
  private queued = false;

  constructor(
    private readonly canvas: HTMLCanvasElement,
    private readonly changed: () => void,
  ) {
    new ResizeObserver(() => this.draw()).observe(canvas);
    this.listen();
  }

  get scale(): string {
    return this.zoom ? `${this.zoom}x` : 'fit';
  }

  get flickers(): boolean {
    return this.turn !== null;
  }

  /** A new picture: from its middle, as large as fits. */
  reset(): void {
    this.left = this.right = null;
    this.zoom = 0;
    this.center = { x: 0.5, y: 0.5 };
    this.draw();
  }

  flicker(on: boolean): void {
    clearInterval(this.timer);
    this.turn = on ? false : null;
    if (on)
      this.timer = window.setInterval(() => {
        this.turn = !this.turn;
        this.draw();
      }, 500);
    this.draw();
    this.changed();
  }

  zoomBy(steps: number): void {
    const fit = this.fit();
    let zoom = this.zoom;
    if (!zoom) zoom = steps > 0 ? 2 ** Math.floor(Math.log2(fit) + 1) : 0;
    else zoom *= 2 ** steps;
    this.zoom = zoom <= fit ? 0 : Math.min(MOST_ZOOM, zoom);
    this.move(0, 0);
    this.changed();
  }

  /** Move by screen pixels. */
  move(dx: number, dy: number): void {
    const picture = this.left ?? this.right;
    if (!picture) return;
    const scale = this.zoom || this.fit();
    this.center.x = Math.min(1, Math.max(0, this.center.x + dx / (picture.width * scale)));
    this.center.y = Math.min(1, Math.max(0, this.center.y + dy / (picture.height * scale)));
    this.draw();
  }

  draw(): void {
    if (this.queued) return;
    this.queued = true;
    requestAnimationFrame(() => {
      this.queued = false;
      this.drawNow();
    });
  }

  /** Screen pixels a pixel at which all of the picture is seen. */
  private fit(): number {
    const picture = this.left ?? this.right;
    if (!picture) return 1;
    return Math.min(this.canvas.clientWidth / picture.width, this.canvas.clientHeight / picture.height);
  }

  private drawNow(): void {
    const { canvas } = this;
    const density = devicePixelRatio || 1;
    const [width, height] = [canvas.clientWidth * density, canvas.clientHeight * density].map(Math.round) as [
      number,
      number,
    ];
    if (canvas.width !== width || canvas.height !== height) [canvas.width, canvas.height] = [width, height];
    const context = canvas.getContext('2d');
    const picture = this.left ?? this.right;
    if (!context) return;
    context.clearRect(0, 0, width, height);
    if (!picture) return;
    const scale = (this.zoom || this.fit()) * density;
    const [w, h] = [picture.width * scale, picture.height * scale];
    const place = (size: number, room: number, center: number): number =>
      size <= room ? (room - size) / 2 : Math.min(0, Math.max(room - size, room / 2 - center * size));
    const [x, y] = [place(w, width, this.center.x), place(h, height, this.center.y)].map(Math.round) as [
      number,
      number,
    ];
    context.imageSmoothingEnabled = scale < 2;
    context.imageSmoothingQuality = 'high';
    const from = Math.max(0, x);
    const edge = from + (Math.min(width, x + w) - from) * this.split;
    const part = (image: ImageBitmap | null, a: number, b: number): void => {
      if (!image || b <= a) return;
      context.save();
      context.beginPath();
      context.rect(a, 0, b - a, height);
      context.clip();
      context.drawImage(image, x, y, w, h);
      context.restore();
    };
    if (!this.right || !this.left) return part(picture, 0, width);
    if (this.turn !== null) return part(this.turn ? this.right : this.left, 0, width);
    part(this.left, 0, edge);
    part(this.right, edge, width);
    context.fillStyle = '#fff';
    context.fillRect(edge - density, Math.max(0, y), 2 * density, Math.min(height, h));
  }

  private listen(): void {
    const { canvas } = this;
    let last: PointerEvent | null = null;
    canvas.addEventListener('pointerdown', (event) => {
      last = event;
      canvas.setPointerCapture(event.pointerId);
    });
    canvas.addEventListener('pointermove', (event) => {
      if (!last) return;
      this.move(last.clientX - event.clientX, last.clientY - event.clientY);
      last = event;
    });
    for (const end of ['pointerup', 'pointercancel'] as const) canvas.addEventListener(end, () => (last = null));
    canvas.addEventListener(
      'wheel',
      (event) => {
        if (!event.ctrlKey && !this.zoom) return; // the page scrolls
        event.preventDefault();
        this.zoomBy(event.deltaY < 0 ? 1 : -1);
      },
      { passive: false },
    );
  }
}
