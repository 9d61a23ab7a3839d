"use strict";
const DATA = JSON.parse(document.getElementById("data").textContent);
const $ = (id) => document.getElementById(id);
const chosen = (name) => document.querySelector(`input[name="${name}"]:checked`).value;
const hiddenCodecs = new Set();

/* ---- numbers ---- */
const MS_SSIM = new Set(["msssim_rgb", "msssim_luma"]);
const toDb = (q) => -10 * Math.log10(Math.max(1 - q, 1e-10));
const mean = (values) => values.reduce((a, b) => a + b, 0) / values.length;

function groupBy(items, key) {
  const groups = new Map();
  for (const item of items) {
    const k = key(item);
    if (!groups.has(k)) groups.set(k, []);
    groups.get(k).push(item);
  }
  return groups;
}

function rowsOf(kind, set, metric) {
  const column = DATA.columns.indexOf(metric);
  return DATA.rows
    .filter((r) => r[0] === kind && (set === "" || DATA.images[r[1]].set === set))
    .map((r) => ({ image: r[1], codec: DATA.codecs[r[2]].id, setting: r[3], bpp: r[4], value: r[column] }));
}

/* Value at a rate, linear over log-bpp between two points of one picture's curve; null outside. */
function valueAt(curve, bpp) {
  for (let i = 1; i < curve.length; i++) {
    const [a, b] = [curve[i - 1], curve[i]];
    if (a.bpp <= bpp && bpp <= b.bpp && b.bpp > a.bpp) {
      const share = Math.log(bpp / a.bpp) / Math.log(b.bpp / a.bpp);
      return a.value + share * (b.value - a.value);
    }
  }
  return null;
}

function meanPerSetting(rows) {
  const settings = groupBy(rows, (r) => r.setting);
  const full = Math.max(...[...settings.values()].map((g) => g.length));
  return [...settings.values()].filter((g) => g.length === full)
    .map((g) => ({ bpp: mean(g.map((r) => r.bpp)), value: mean(g.map((r) => r.value)), setting: g[0].setting }))
    .sort((a, b) => a.bpp - b.bpp);
}

function meanPerRate(rows) {
  const curves = [...groupBy(rows, (r) => r.image).values()].map((g) => g.sort((a, b) => a.bpp - b.bpp));
  const points = [];
  for (let i = 0; i <= 40; i++) {
    const bpp = 0.04 * Math.pow(100, i / 40);
    const values = curves.map((c) => valueAt(c, bpp));
    if (values.every((v) => v !== null)) points.push({ bpp, value: mean(values) });
  }
  return points;
}

/* ---- charts ---- */
const SVG = "http://www.w3.org/2000/svg";
function element(name, attributes, parent) {
  const node = document.createElementNS(SVG, name);
  for (const [k, v] of Object.entries(attributes)) node.setAttribute(k, v);
  if (parent) parent.appendChild(node);
  return node;
}

function niceTicks(low, high, count) {
  const raw = (high - low) / count;
  const power = Math.pow(10, Math.floor(Math.log10(raw)));
  const step = [1, 2, 2.5, 5, 10].map((m) => m * power).find((s) => s >= raw);
  const ticks = [];
  for (let t = Math.ceil(low / step - 1e-9) * step; t <= high + 1e-9 * step; t += step) ticks.push(+t.toPrecision(10));
  return ticks;
}

function drawChart(box, options) {
  const W = 1060, H = 560, L = 62, R = 16, T = 12, B = 48;
  box.replaceChildren();
  const svg = element("svg", { viewBox: `0 0 ${W} ${H}`, role: "img", "aria-label": options.label });
  const { x0, x1, y0, y1, log } = options;
  const fx = log ? Math.log : (v) => v;
  const X = (v) => L + (W - L - R) * (fx(v) - fx(x0)) / (fx(x1) - fx(x0));
  const Y = (v) => T + (H - T - B) * (1 - (v - y0) / (y1 - y0));
  const clip = `clip-${box.id}`;
  element("rect", { x: L, y: T, width: W - L - R, height: H - T - B }, element("clipPath", { id: clip }, element("defs", {}, svg)));
  const xticks = log ? [0.03, 0.05, 0.1, 0.2, 0.3, 0.5, 1, 2, 3, 5].filter((t) => t >= x0 && t <= x1) : niceTicks(x0, x1, 10);
  for (const t of xticks) {
    element("line", { x1: X(t), x2: X(t), y1: T, y2: H - B, class: "grid" }, svg);
    element("text", { x: X(t), y: H - B + 18, "text-anchor": "middle" }, svg).textContent = t;
  }
  for (const t of niceTicks(y0, y1, 11)) {
    element("line", { x1: L, x2: W - R, y1: Y(t), y2: Y(t), class: "grid" }, svg);
    element("text", { x: L - 8, y: Y(t) + 4, "text-anchor": "end" }, svg).textContent = t;
  }
  element("rect", { x: L, y: T, width: W - L - R, height: H - T - B, class: "frame" }, svg);
  element("text", { x: (L + W - R) / 2, y: H - 8, "text-anchor": "middle" }, svg).textContent = options.xlabel;
  element("text", { transform: `translate(15 ${(T + H - B) / 2}) rotate(-90)`, "text-anchor": "middle" }, svg).textContent = options.ylabel;
  const layer = element("g", { "clip-path": `url(#${clip})` }, svg);
  const spots = [];
  for (const s of options.series) {
    const path = s.points.map((p, i) => `${i ? "L" : "M"}${X(p.bpp).toFixed(1)} ${Y(p.value).toFixed(1)}`).join("");
    const drawn = { d: path, fill: "none", stroke: s.colour, "stroke-width": s.width, "stroke-linejoin": "round", opacity: s.opacity || 1 };
    if (s.dash) drawn["stroke-dasharray"] = s.dash;
    element("path", drawn, layer);
    if (s.faint) continue;
    for (const p of s.points) {
      if (s.dots) element("circle", { cx: X(p.bpp), cy: Y(p.value), r: s.width > 2.5 ? 3.4 : 2.4, fill: s.colour }, layer);
      if (p.bpp >= x0 && p.bpp <= x1 && p.value >= y0 && p.value <= y1) spots.push({ x: X(p.bpp), y: Y(p.value), s, p });
    }
  }
  box.appendChild(svg);
  addTip(box, svg, spots, W, options.show);
}

function addTip(box, svg, spots, W, show) {
  const tip = document.createElement("div");
  tip.className = "tip";
  tip.hidden = true;
  box.appendChild(tip);
  svg.addEventListener("mousemove", (event) => {
    const frame = svg.getBoundingClientRect(), scale = W / frame.width;
    const [mx, my] = [(event.clientX - frame.left) * scale, (event.clientY - frame.top) * scale];
    let best = null, distance = 26;
    for (const spot of spots) {
      const d = Math.hypot(spot.x - mx, spot.y - my);
      if (d < distance) [best, distance] = [spot, d];
    }
    tip.hidden = !best;
    if (!best) return;
    tip.textContent = show(best.s, best.p);
    const x = best.x / scale, y = best.y / scale;
    tip.style.left = `${x > frame.width * 0.7 ? x - tip.offsetWidth - 12 : x + 12}px`;
    tip.style.top = `${Math.max(0, y - 14)}px`;
  });
  svg.addEventListener("mouseleave", () => { tip.hidden = true; });
}

function legend(box, entries, redraw) {
  box.replaceChildren();
  for (const e of entries) {
    const label = document.createElement("label");
    const check = document.createElement("input");
    check.type = "checkbox";
    check.checked = !hiddenCodecs.has(e.id);
    label.classList.toggle("off", !check.checked);
    check.addEventListener("change", () => {
      if (check.checked) hiddenCodecs.delete(e.id); else hiddenCodecs.add(e.id);
      label.classList.toggle("off", !check.checked);
      redraw();
    });
    const line = element("svg", { width: 26, height: 10 });
    const stroke = { x1: 0, x2: 26, y1: 5, y2: 5, stroke: e.colour, "stroke-width": e.width };
    if (e.dash) stroke["stroke-dasharray"] = e.dash;
    element("line", stroke, line);
    label.append(check, line, e.label);
    box.appendChild(label);
  }
}

/* ---- quality against file size ---- */
const round = (v, n) => v.toFixed(n);
function windowOf(metric, inDb) {
  if (!MS_SSIM.has(metric)) return null;
  return inDb ? [4, 22] : [0.7, 1];
}

function extent(series, metric, inDb) {
  const fixed = windowOf(metric, inDb);
  const values = series.filter((s) => !s.faint).flatMap((s) => s.points.map((p) => p.value));
  if (!values.length) return fixed || [0, 1];
  if (!fixed) {
    const [low, high] = [Math.min(...values), Math.max(...values)];
    const margin = 0.04 * (high - low || 1);
    return [low - margin, high + margin];
  }
  const low = Math.min(...values), high = Math.max(...values);
  return inDb ? [Math.max(0, Math.min(fixed[0], Math.floor(low))), Math.max(fixed[1] - 2, Math.ceil(Math.min(high, 24)))]
              : [Math.max(0, Math.min(fixed[0], Math.floor(low * 10) / 10)), 1];
}

function describe(metric, inDb) {
  return (s, p) => {
    const raw = MS_SSIM.has(metric) && inDb ? `${round(1 - Math.pow(10, -p.value / 10), 4)} (${round(p.value, 2)} dB)` : round(p.value, MS_SSIM.has(metric) || metric === "ssim" ? 4 : 2);
    const at = p.setting === undefined || !s.unit ? "" : ` · ${s.unit} ${p.setting}`;
    return `${s.label}: ${round(p.bpp, 3)} bpp, ${raw}${at}`;
  };
}

function drawCurves() {
  const metric = $("metric").value, set = $("set").value;
  $("scales").hidden = !MS_SSIM.has(metric);
  const inDb = MS_SSIM.has(metric) && chosen("scale") === "db";
  const scale = (points) => points.map((p) => ({ ...p, value: inDb ? toDb(p.value) : p.value }));
  const rows = rowsOf("file", set, metric).filter((r) => r.value !== null);
  const byCodec = groupBy(rows, (r) => r.codec);
  const faint = [], thick = [];
  for (const codec of DATA.codecs) {
    const own = byCodec.get(codec.id);
    if (!own || hiddenCodecs.has(codec.id)) continue;
    const images = [...groupBy(own, (r) => r.image).values()];
    if ($("each").checked && images.length > 1) {
      for (const g of images) faint.push({ ...codec, dash: "", faint: true, width: 1, opacity: 0.13, points: scale(g.sort((a, b) => a.bpp - b.bpp)) });
    }
    const points = $("mean").value === "rate" ? meanPerRate(own) : meanPerSetting(own);
    thick.push({ ...codec, dots: $("mean").value !== "rate", points: scale(points) });
  }
  if ($("papers").checked) {
    for (const paper of DATA.published) {
      if (!(metric in paper) || hiddenCodecs.has(paper.id)) continue;
      const points = paper.bpp.map((bpp, i) => ({ bpp, value: paper[metric][i] }));
      thick.push({ ...paper, dots: false, points: scale(points) });
    }
  }
  const log = $("axis").value === "log";
  const [y0, y1] = extent(thick, metric, inDb);
  drawChart($("rd"), {
    series: [...faint, ...thick.reverse()], log, x0: log ? 0.05 : 0, x1: log ? 3 : 2, y0, y1,
    xlabel: "bits per pixel (whole file)", label: "Quality against file size",
    ylabel: DATA.metrics[metric] + (inDb ? ", dB" : ""), show: describe(metric, inDb),
  });
  const papers = $("papers").checked ? DATA.published : [];
  legend($("rd-legend"), [...DATA.codecs.filter((c) => byCodec.has(c.id)), ...papers], drawCurves);
  for (const table of document.querySelectorAll("[data-set]")) table.hidden = table.dataset.set !== set;
}

/* ---- quality against bytes received ---- */
function meanReceived(rows) {
  const curves = [...groupBy(rows, (r) => r.image).values()].map((g) => g.sort((a, b) => a.bpp - b.bpp));
  const points = [];
  for (const bpp of DATA.cuts) {
    const values = curves.map((c) => { const seen = c.filter((p) => p.bpp <= bpp * 1.005); return seen.length ? seen[seen.length - 1].value : null; });
    if (values.every((v) => v !== null)) points.push({ bpp, value: mean(values) });
    if (curves.every((c) => c[c.length - 1].bpp <= bpp)) break;
  }
  return points;
}

function drawPrefix() {
  const set = $("set").value, metric = $("prefix-metric").value;
  const inDb = MS_SSIM.has(metric) && chosen("prefix-scale") === "db";
  const scale = (points) => points.map((p) => ({ ...p, value: inDb ? toDb(p.value) : p.value }));
  const series = [];
  for (const [key, rows] of groupBy(rowsOf("prefix", set, metric), (r) => `${r.codec}|${r.setting}`)) {
    const codec = DATA.codecs.find((c) => c.id === rows[0].codec);
    const place = series.filter((s) => s.codec === codec.id).length;
    series.push({ ...codec, codec: codec.id, id: key, dots: true, dash: place ? "5 4" : "", label: `${codec.label}, one file (${codec.unit} ${rows[0].setting})`, points: scale(meanReceived(rows)) });
  }
  const base = rowsOf("file", set, metric).filter((r) => r.codec === DATA.baseline && r.value !== null);
  const style = DATA.codecs.find((c) => c.id === DATA.baseline);
  if (base.length) series.push({ ...style, id: "whole", dots: false, dash: "1 4", label: `${style.label}: another whole file for each size`, points: scale(meanPerSetting(base)) });
  const shown = series.filter((s) => !hiddenCodecs.has(s.id));
  const [y0, y1] = extent(shown, metric, inDb);
  drawChart($("prefix"), {
    series: shown, log: true, x0: 0.03, x1: 2, y0, y1, xlabel: "bits per pixel received", label: "Quality against bytes received",
    ylabel: DATA.metrics[metric] + (inDb ? ", dB" : ""), show: describe(metric, inDb),
  });
  legend($("prefix-legend"), series, drawPrefix);
}

function setUpArrival() {
  const picture = DATA.pictures.find((p) => Object.keys(p.received).length);
  if (!picture) return;
  $("arrival").hidden = false;
  const steps = Math.max(...Object.values(picture.received).map((s) => s.length));
  $("arrived").max = steps - 1;
  const draw = () => {
    const i = +$("arrived").value;
    $("arrival-row").replaceChildren();
    let bytes = 0;
    for (const codec of DATA.codecs.filter((c) => c.id in picture.received)) {
      const list = picture.received[codec.id], step = list[Math.min(i, list.length - 1)];
      bytes = Math.max(bytes, step.bytes);
      const figure = document.createElement("figure"), caption = document.createElement("figcaption");
      const shown = document.createElement(step.uri ? "img" : "div");
      if (step.uri) { shown.src = step.uri; shown.alt = codec.label; } else { shown.className = "nothing"; shown.textContent = "nothing to show yet"; shown.style.aspectRatio = `${picture.width}/${picture.height}`; }
      caption.textContent = `${codec.label}: ` + (step.uri ? `MS-SSIM ${round(step.msssim, 4)}` : "no picture") + ` · file of ${step.total.toLocaleString("en")} bytes`;
      figure.append(shown, caption);
      $("arrival-row").appendChild(figure);
    }
    $("arrived-text").textContent = `${bytes.toLocaleString("en")} bytes = ${round(8 * bytes / picture.width / picture.height, 3)} bpp of ${picture.id}`;
  };
  $("arrived").addEventListener("input", draw);
  draw();
}

/* ---- viewer ---- */
function option(select, value, text) {
  const o = document.createElement("option");
  o.value = value;
  o.textContent = text;
  select.appendChild(o);
}

const viewer = { timer: 0, flipped: false, share: 0.5 };
function viewOf(picture, codec, target) {
  if (codec === "original") return { uri: picture.original, text: "original" };
  const view = (picture.views[codec] || [])[target];
  if (!view) return { uri: picture.original, text: `${codec}: not available for this picture` };
  const label = DATA.codecs.find((c) => c.id === codec).label;
  return { uri: view.uri, text: `${label}: ${view.bytes.toLocaleString("en")} bytes, ${round(view.bpp, 3)} bpp, MS-SSIM ${round(view.msssim, 4)}` };
}

function drawViewer() {
  const picture = DATA.pictures[+$("view-picture").value], target = +$("view-target").value;
  const mode = chosen("view-mode"), zoom = +$("view-zoom").value, inner = $("stage-inner");
  const a = viewOf(picture, $("view-a").value, target), b = viewOf(picture, $("view-b").value, target);
  $("image-a").src = a.uri;
  $("image-b").src = b.uri;
  $("caption-a").textContent = (mode === "flicker" ? "first: " : "left: ") + a.text;
  $("caption-b").textContent = (mode === "flicker" ? "second: " : "right: ") + b.text;
  inner.className = [mode, zoom > 1 ? "zoomed" : ""].join(" ");
  inner.style.width = `${(mode === "pair" ? 2 : 1) * picture.width * zoom}px`;
  inner.style.height = mode === "pair" ? "auto" : `${picture.height * zoom}px`;
  if (mode === "pair" && zoom === 1) inner.style.width = "100%";
  clearInterval(viewer.timer);
  viewer.flipped = false;
  if (mode === "flicker") viewer.timer = setInterval(flip, 700);
  paint();
}

function flip() { viewer.flipped = !viewer.flipped; paint(); }

function paint() {
  const mode = chosen("view-mode"), b = $("image-b");
  b.style.visibility = mode === "flicker" && !viewer.flipped ? "hidden" : "visible";
  b.style.clipPath = mode === "slider" ? `inset(0 0 0 ${100 * viewer.share}%)` : "none";
  $("bar").style.left = `${100 * viewer.share}%`;
}

function targetText(picture, i) {
  const t = picture.targets[i];
  return t.kind === "msssim" ? `MS-SSIM ${round(t.value, 4)}` : `size ${t.value.toLocaleString("en")} bytes`;
}

function fillTargets() {
  const picture = DATA.pictures[+$("view-picture").value], before = $("view-target").value;
  $("view-target").replaceChildren();
  picture.targets.forEach((t, i) => option($("view-target"), i, targetText(picture, i)));
  if (before) $("view-target").value = before;
  drawViewer();
}

function setUpViewer() {
  if (!DATA.pictures.length) { $("no-viewer").hidden = false; return; }
  $("viewer").hidden = false;
  DATA.pictures.forEach((p, i) => option($("view-picture"), i, p.id));
  const codecs = DATA.codecs.filter((c) => DATA.pictures.some((p) => c.id in p.views));
  for (const id of ["view-a", "view-b"]) {
    option($(id), "original", "original");
    for (const c of codecs) option($(id), c.id, c.label);
  }
  const base = codecs.find((c) => c.id === DATA.baseline) || codecs[0];
  const other = codecs.find((c) => c.id.startsWith("rgru")) || codecs.find((c) => c !== base && !c.id.startsWith("jpeg:")) || codecs[0];
  $("view-a").value = base ? base.id : "original";
  $("view-b").value = other ? other.id : "original";
  $("view-picture").addEventListener("change", fillTargets);
  for (const id of ["view-a", "view-b", "view-target", "view-zoom"]) $(id).addEventListener("change", drawViewer);
  for (const r of document.querySelectorAll("input[name='view-mode']")) r.addEventListener("change", drawViewer);
  $("stage").addEventListener("pointermove", (event) => {
    const frame = $("stage-inner").getBoundingClientRect();
    viewer.share = Math.min(1, Math.max(0, (event.clientX - frame.left) / frame.width));
    paint();
  });
  $("stage").addEventListener("keydown", (event) => {
    if (event.key !== " ") return;
    event.preventDefault();
    clearInterval(viewer.timer);
    if (chosen("view-mode") !== "flicker") { document.querySelector("input[value='flicker']").checked = true; drawViewer(); clearInterval(viewer.timer); }
    flip();
  });
  fillTargets();
}

/* ---- begin ---- */
/* report.html#metric=psnr&view-mode=flicker opens the page with these controls set. */
function applyAddress() {
  for (const [name, value] of new URLSearchParams(location.hash.slice(1))) {
    const radio = [...document.querySelectorAll("input[type=radio]")].find((r) => r.name === name && r.value === value);
    const control = radio || $(name);
    if (!control) continue;
    if (radio) radio.checked = true;
    else if (control.type === "checkbox") control.checked = value === "yes";
    else control.value = value;
    control.dispatchEvent(new Event(control.type === "range" ? "input" : "change"));
  }
}
for (const id of ["metric", "mean", "axis", "each", "papers"]) $(id).addEventListener("change", drawCurves);
for (const r of document.querySelectorAll("input[name='scale']")) r.addEventListener("change", drawCurves);
for (const r of document.querySelectorAll("input[name='prefix-scale']")) r.addEventListener("change", drawPrefix);
$("prefix-metric").addEventListener("change", drawPrefix);
$("set").addEventListener("change", () => { drawCurves(); drawPrefix(); });
$("papers").checked = DATA.kodak;
drawCurves();
if (!$("received").hidden) { drawPrefix(); }
setUpArrival();
setUpViewer();
applyAddress();
document.body.dataset.ready = "yes";
