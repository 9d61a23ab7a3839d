"use strict";
/* Draws what Python computed: every point of a curve and every name stands in DATA. */
const DATA = JSON.parse(document.getElementById("data").textContent);
const $ = (id) => document.getElementById(id);
const all = (selector) => [...document.querySelectorAll(selector)];
const chosen = (name) => document.querySelector(`input[name="${name}"]:checked`).value;
const hiddenCodecs = new Set();
const codecOf = (id) => DATA.codecs.find((c) => c.id === id);
const groupNow = () => DATA.groups.find((g) => g.title === $("group").value);
const round = (v, n) => v.toFixed(n);
const toDb = (q) => -10 * Math.log10(Math.max(1 - q, 1e-10));

/* ---- charts ---- */
function element(name, attributes, parent) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [k, v] of Object.entries(attributes)) {
    if (k === "stroke" || k === "fill") node.style[k] = v; else node.setAttribute(k, v);
  }
  if (parent) parent.appendChild(node);
  return node;
}

function ticksOf(low, high, count) {
  const raw = (high - low) / count;
  const power = Math.pow(10, Math.floor(Math.log10(raw)));
  const step = [1, 2, 2.5, 5, 10].map((m) => m * power).find((s) => s >= raw);
  const ticks = [];
  for (let t = Math.ceil(low / step - 1e-9) * step; t <= high + 1e-9 * step; t += step) ticks.push(+t.toPrecision(10));
  return ticks;
}

/* Letters keep their size: the drawing is as wide as the box, with fewer ticks in a narrow one. */
function drawChart(box, options) {
  const W = Math.max(300, box.clientWidth), H = Math.round(Math.min(560, Math.max(300, W * 0.53)));
  const narrow = W < 560, L = narrow ? 46 : 62, R = 12, T = 12, B = 48;
  box.replaceChildren();
  const svg = element("svg", { viewBox: `0 0 ${W} ${H}`, height: H, role: "group", "aria-label": options.label });
  const { x0, x1, y0, y1, log } = options, fx = log ? Math.log : (v) => v;
  const X = (v) => L + (W - L - R) * (fx(v) - fx(x0)) / (fx(x1) - fx(x0));
  const Y = (v) => T + (H - T - B) * (1 - (v - y0) / (y1 - y0));
  const clip = `clip-${box.id}`, inside = { x: L, y: T, width: W - L - R, height: H - T - B };
  element("rect", inside, element("clipPath", { id: clip }, element("defs", {}, svg)));
  const decades = narrow ? [0.05, 0.1, 0.2, 0.5, 1, 2] : [0.03, 0.05, 0.1, 0.2, 0.3, 0.5, 1, 2, 3, 5];
  for (const t of log ? decades.filter((t) => t >= x0 && t <= x1) : ticksOf(x0, x1, narrow ? 4 : 10)) {
    element("line", { x1: X(t), x2: X(t), y1: T, y2: H - B, class: "grid" }, svg);
    element("text", { x: X(t), y: H - B + 18, "text-anchor": "middle" }, svg).textContent = t;
  }
  for (const t of ticksOf(y0, y1, narrow ? 6 : 11)) {
    element("line", { x1: L, x2: W - R, y1: Y(t), y2: Y(t), class: "grid" }, svg);
    element("text", { x: L - 7, y: Y(t) + 4, "text-anchor": "end" }, svg).textContent = t;
  }
  element("rect", { ...inside, class: "frame" }, svg);
  element("text", { x: (L + W - R) / 2, y: H - 8, "text-anchor": "middle" }, svg).textContent = options.xlabel;
  element("text", { transform: `translate(13 ${(T + H - B) / 2}) rotate(-90)`, "text-anchor": "middle" }, svg).textContent = options.ylabel;
  const layer = element("g", { "clip-path": `url(#${clip})` }, svg), spots = [];
  for (const s of options.series) {
    const path = s.points.map(([x, y], i) => `${i ? "L" : "M"}${X(x).toFixed(1)} ${Y(y).toFixed(1)}`).join("");
    const line = { d: path, fill: "none", stroke: s.colour, "stroke-width": s.width, "stroke-linejoin": "round", opacity: s.faint ? 0.13 : 1 };
    if (s.dash) line["stroke-dasharray"] = s.dash;
    element("path", line, layer);
    if (s.faint) continue;
    let first = true;
    for (const p of s.points) {
      if (p[0] < x0 || p[0] > x1 || p[1] < y0 || p[1] > y1) continue;
      const dot = element("circle", { cx: X(p[0]), cy: Y(p[1]), r: s.width > 2.5 ? 3.6 : 2.6, fill: s.colour, tabindex: first ? 0 : -1, role: "img", "aria-label": options.show(s, p) }, layer);
      if (!s.dots) dot.style.fillOpacity = 0;
      spots.push({ x: X(p[0]), y: Y(p[1]), s, p, dot });
      first = false;
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
  const tell = (spot) => {
    tip.hidden = !spot;
    if (!spot) return;
    const scale = W / svg.getBoundingClientRect().width, width = box.clientWidth;
    tip.textContent = show(spot.s, spot.p);
    const x = spot.x / scale, left = x > width * 0.6 ? x - tip.offsetWidth - 12 : x + 12;
    tip.style.left = `${Math.max(0, Math.min(left, width - tip.offsetWidth))}px`;
    tip.style.top = `${Math.max(0, spot.y / scale - 14)}px`;
  };
  svg.addEventListener("pointermove", (event) => {
    const frame = svg.getBoundingClientRect(), scale = W / frame.width;
    const [mx, my] = [(event.clientX - frame.left) * scale, (event.clientY - frame.top) * scale];
    let best = null, distance = 26;
    for (const spot of spots) {
      const d = Math.hypot(spot.x - mx, spot.y - my);
      if (d < distance) [best, distance] = [spot, d];
    }
    tell(best);
  });
  svg.addEventListener("pointerleave", () => tell(null));
  spots.forEach((spot, i) => {
    spot.dot.addEventListener("focus", () => tell(spot));
    spot.dot.addEventListener("blur", () => tell(null));
    spot.dot.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key], next = step && spots[i + step];
      if (!next || next.s !== spot.s) return;
      event.preventDefault();
      next.dot.focus();
    });
  });
}

function legend(box, entries, redraw) {
  box.replaceChildren();
  for (const e of entries) {
    const label = document.createElement("label"), check = document.createElement("input");
    check.type = "checkbox";
    check.checked = !hiddenCodecs.has(e.id);
    label.classList.toggle("off", !check.checked);
    check.addEventListener("change", () => {
      if (check.checked) hiddenCodecs.delete(e.id); else hiddenCodecs.add(e.id);
      redraw();
      keepAddress();
    });
    const line = element("svg", { width: 26, height: 10 });
    const stroke = { x1: 0, x2: 26, y1: 5, y2: 5, stroke: e.colour, "stroke-width": e.width };
    if (e.dash) stroke["stroke-dasharray"] = e.dash;
    element("line", stroke, line);
    label.append(check, line, e.label);
    box.appendChild(label);
  }
}

/* ---- quality against file size, and against bytes received ---- */
function extent(series, inDb, linear) {
  const values = series.filter((s) => !s.faint).flatMap((s) => s.points.map((p) => p[1]));
  if (!values.length) return [0, 1];
  const [low, high] = [Math.min(...values), Math.max(...values)];
  if (inDb) return [Math.max(0, Math.min(4, Math.floor(low))), Math.max(20, Math.ceil(Math.min(high, 24)))];
  if (linear) return [Math.max(0, Math.min(0.7, Math.floor(low * 10) / 10)), 1];
  const margin = 0.04 * (high - low || 1);
  return [low - margin, high + margin];
}

function scaleOf(metric, radio) {
  const about = DATA.metrics[metric], inDb = about.db && chosen(radio) === "db";
  $(`${radio}s`).hidden = !about.db;
  return {
    points: (points) => points.map(([x, y, ...rest]) => [x, inDb ? toDb(y) : y, ...rest]),
    extent: (series) => extent(series, inDb, about.db && !inDb),
    ylabel: about.title + (inDb ? ", dB" : ""),
    show: (s, [bpp, y, setting]) => {
      const value = inDb ? `${round(1 - Math.pow(10, -y / 10), 4)} (${round(y, 2)} dB)` : round(y, about.db ? 4 : 2);
      return `${s.label}: ${round(bpp, 3)} bpp, ${value}` + (setting === undefined || !s.unit ? "" : ` · ${s.unit} ${setting}`);
    },
  };
}

function drawCurves() {
  const metric = $("metric").value, group = groupNow(), scale = scaleOf(metric, "scale");
  const mean = $("mean").value, curves = group.curves[metric], faint = [], thick = [];
  for (const codec of DATA.codecs.filter((c) => c.id in curves && !hiddenCodecs.has(c.id))) {
    if ($("each").checked && group.images.length > 1) {
      for (const image of group.images) {
        const own = (DATA.each[metric][codec.id] || {})[image];
        if (own) faint.push({ ...codec, dash: "", faint: true, width: 1, points: scale.points(own) });
      }
    }
    thick.push({ ...codec, dots: mean === "setting", points: scale.points(curves[codec.id][mean]) });
  }
  const papers = $("papers").checked ? DATA.published.filter((p) => metric in p) : [];
  for (const paper of papers) if (!hiddenCodecs.has(paper.id)) thick.push({ ...paper, points: scale.points(paper[metric]) });
  const log = $("axis").value === "log", [y0, y1] = scale.extent(thick);
  drawChart($("rd"), {
    series: [...faint, ...thick.reverse()], log, x0: log ? 0.05 : 0, x1: log ? 3 : 2, y0, y1, ylabel: scale.ylabel, show: scale.show,
    xlabel: "bits per pixel (whole file)", label: "Quality against file size",
  });
  legend($("rd-legend"), [...DATA.codecs.filter((c) => c.id in curves), ...papers], drawCurves);
  for (const part of all("[data-group]")) part.hidden = part.dataset.group !== group.title;
}

function drawPrefix() {
  const metric = $("prefix-metric").value, group = groupNow(), scale = scaleOf(metric, "prefix-scale"), seen = new Set();
  const series = group.received[metric].map((file) => {
    const dash = seen.has(file.codec) ? "5 4" : "";
    seen.add(file.codec);
    return { ...codecOf(file.codec), id: file.label, label: file.label, unit: "", dash, dots: true, points: scale.points(file.points) };
  });
  const [base] = DATA.codecs.filter((c) => c.id.startsWith("jpeg:") && c.id in group.curves[metric]);
  if (base) series.push({ ...base, id: "whole", dash: "1 4", label: `${base.label}: another whole file for each size`, points: scale.points(group.curves[metric][base.id].setting) });
  const shown = series.filter((s) => !hiddenCodecs.has(s.id)), [y0, y1] = scale.extent(shown);
  drawChart($("prefix"), {
    series: shown, log: true, x0: 0.03, x1: 2, y0, y1, ylabel: scale.ylabel, show: scale.show,
    xlabel: "bits per pixel received", label: "Quality against bytes received",
  });
  legend($("prefix-legend"), series, drawPrefix);
}

function setUpArrival() {
  const picture = DATA.pictures.find((p) => Object.keys(p.received).length);
  if (!picture) return;
  $("arrival").hidden = false;
  $("arrived").max = Math.max(...Object.values(picture.received).map((s) => s.length)) - 1;
  const draw = () => {
    let bytes = 0;
    $("arrival-row").replaceChildren();
    for (const codec of DATA.codecs.filter((c) => c.id in picture.received)) {
      const list = picture.received[codec.id], step = list[Math.min(+$("arrived").value, list.length - 1)];
      bytes = Math.max(bytes, step.bytes);
      const figure = document.createElement("figure"), caption = document.createElement("figcaption");
      const shown = document.createElement(step.uri ? "img" : "div");
      if (step.uri) { shown.src = step.uri; shown.alt = codec.label; } else { shown.className = "nothing"; shown.textContent = "nothing to show yet"; shown.style.aspectRatio = `${picture.width}/${picture.height}`; }
      caption.textContent = `${codec.label}: file of ${step.total.toLocaleString("en")} bytes`;
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
const pictureNow = () => DATA.pictures.find((p) => p.id === $("view-picture").value);

function viewOf(picture, codec, target) {
  const setting = (picture.views[codec] || [])[target];
  if (setting === undefined) return { uri: picture.original, text: codec === "original" ? "original" : `${codec}: not available for this picture` };
  const view = picture.files[codec][setting], about = codecOf(codec);
  return { ...view, text: `${about.label}, ${about.unit} ${setting}: ${view.bytes.toLocaleString("en")} bytes, ${round(view.bpp, 3)} bpp, RGB MS-SSIM ${round(view.msssim, 4)}` };
}

function fillSide(side, view, picture) {
  const frame = side.querySelector(".frame"), [x, y, size] = view.worst || [0, 0, 0];
  const percent = (v, whole) => `${100 * v / whole}%`;
  side.querySelector("img").src = view.uri;
  side.style.setProperty("--original", `url(${picture.original})`);
  Object.assign(frame.style, { left: percent(x, picture.width), top: percent(y, picture.height), width: percent(size, picture.width), height: percent(size, picture.height), visibility: view.worst ? "" : "hidden" });
}

function drawViewer() {
  const picture = pictureNow(), target = +$("view-target").value, inner = $("stage-inner");
  const mode = chosen("view-mode"), zoom = +$("view-zoom").value, two = mode === "pair" || mode === "error";
  const a = viewOf(picture, $("view-a").value, target), b = viewOf(picture, $("view-b").value, target);
  fillSide($("side-a"), a, picture);
  fillSide($("side-b"), b, picture);
  $("caption-a").textContent = (mode === "flicker" ? "first: " : "left: ") + a.text;
  $("caption-b").textContent = (mode === "flicker" ? "second: " : "right: ") + b.text;
  inner.className = [mode, zoom > 1 ? "zoomed" : "", $("view-worst").checked ? "worst" : ""].join(" ");
  inner.style.width = two && zoom === 1 ? "100%" : `${(two ? 2 : 1) * picture.width * zoom}px`;
  inner.style.height = two ? "auto" : `${picture.height * zoom}px`;
  clearInterval(viewer.timer);
  viewer.flipped = false;
  if (mode === "flicker") viewer.timer = setInterval(flip, 700);
  paint();
}

function flip() { viewer.flipped = !viewer.flipped; paint(); }

function paint() {
  const mode = chosen("view-mode"), b = $("side-b");
  b.style.visibility = mode === "flicker" && !viewer.flipped ? "hidden" : "visible";
  b.style.clipPath = mode === "slider" ? `inset(0 0 0 ${100 * viewer.share}%)` : "none";
  $("bar").style.left = `${100 * viewer.share}%`;
}

function goToWorst() {
  const picture = pictureNow(), view = viewOf(picture, $("view-b").value, +$("view-target").value);
  if (!view.worst) return;
  $("view-zoom").value = "4";
  $("view-worst").checked = true;
  drawViewer();
  const frame = $("side-b").querySelector(".frame").getBoundingClientRect(), stage = $("stage"), box = stage.getBoundingClientRect();
  stage.scrollLeft += frame.left - box.left - (box.width - frame.width) / 2;
  stage.scrollTop += frame.top - box.top - (box.height - frame.height) / 2;
  keepAddress();
}

function fillTargets() {
  const before = $("view-target").value;
  $("view-target").replaceChildren();
  pictureNow().targets.forEach((text, i) => option($("view-target"), i, text));
  if (before) $("view-target").value = before;
  drawViewer();
}

function setUpViewer() {
  if (!DATA.pictures.length) { $("no-viewer").hidden = false; return; }
  $("viewer").hidden = false;
  DATA.pictures.forEach((p) => option($("view-picture"), p.id, p.id));
  const codecs = DATA.codecs.filter((c) => DATA.pictures.some((p) => c.id in p.views));
  for (const id of ["view-a", "view-b"]) {
    option($(id), "original", "original");
    for (const c of codecs) option($(id), c.id, c.label);
  }
  const [ours, against] = DATA.opponents.map((id) => codecs.find((c) => c.id === id));
  $("view-a").value = (against || codecs[0] || { id: "original" }).id;
  $("view-b").value = (ours || codecs[1] || codecs[0] || { id: "original" }).id;
  $("view-picture").addEventListener("change", fillTargets);
  for (const id of ["view-a", "view-b", "view-target", "view-zoom", "view-worst"]) $(id).addEventListener("change", drawViewer);
  for (const r of all("input[name='view-mode']")) r.addEventListener("change", drawViewer);
  $("view-go").addEventListener("click", goToWorst);
  $("stage").addEventListener("pointermove", (event) => {
    const frame = $("stage-inner").getBoundingClientRect();
    viewer.share = Math.min(1, Math.max(0, (event.clientX - frame.left) / frame.width));
    paint();
  });
  $("stage").addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -0.02, ArrowRight: 0.02 }[event.key];
    if (step && chosen("view-mode") === "slider") { viewer.share = Math.min(1, Math.max(0, viewer.share + step)); paint(); }
    if (event.key !== " ") return;
    event.preventDefault();
    if (chosen("view-mode") !== "flicker") { document.querySelector("input[value='flicker']").checked = true; drawViewer(); }
    clearInterval(viewer.timer);
    flip();
  });
  fillTargets();
}

/* ---- the address says what is shown: report.html#metric=psnr&view-mode=flicker ---- */
const controls = () => all(".controls select, .controls input").map((c) => [c, c.type === "radio" ? c.name : c.id]);
const valueOf = (c) => c.type === "checkbox" ? (c.checked ? "yes" : "no") : c.value;
const usual = new Map();

function keepAddress() {
  const state = new URLSearchParams();
  for (const [c, name] of controls()) if ((c.type !== "radio" || c.checked) && usual.get(name) !== valueOf(c)) state.set(name, valueOf(c));
  if (hiddenCodecs.size) state.set("hide", [...hiddenCodecs].join(";"));
  history.replaceState(null, "", `#${state}`);
}

function applyAddress() {
  const state = new URLSearchParams(location.hash.slice(1));
  hiddenCodecs.clear();
  for (const id of (state.get("hide") || "").split(";").filter(Boolean)) hiddenCodecs.add(id);
  for (const [c, name] of controls()) {
    const value = state.get(name) ?? usual.get(name);
    if (c.type === "radio") c.checked = c.value === value;
    else if (c.type === "checkbox") c.checked = value === "yes";
    else if (c.tagName !== "SELECT" || [...c.options].some((o) => o.value === value)) c.value = value;
  }
  drawAll();
  if (DATA.pictures.length) fillTargets();
  if (DATA.pictures.length && state.has("view-target")) { $("view-target").value = state.get("view-target"); drawViewer(); }
  $("arrived").dispatchEvent(new Event("input"));
  if (state.has("view-picture")) $("pictures").scrollIntoView();
}

function drawAll() {
  drawCurves();
  if (!$("received").hidden) drawPrefix();
}

for (const id of ["metric", "mean", "axis", "each", "papers"]) $(id).addEventListener("change", drawCurves);
for (const r of all("input[name='scale']")) r.addEventListener("change", drawCurves);
for (const r of all("input[name='prefix-scale']")) r.addEventListener("change", drawPrefix);
$("prefix-metric").addEventListener("change", drawPrefix);
$("group").addEventListener("change", () => { $("papers").checked = groupNow().kodak; drawAll(); });
$("papers").checked = groupNow().kodak;
setUpArrival();
setUpViewer();
for (const [c, name] of controls()) if (c.type !== "radio" || c.checked) usual.set(name, valueOf(c));
applyAddress();
document.addEventListener("change", (event) => { if (event.target.closest(".controls")) keepAddress(); });
window.addEventListener("hashchange", applyAddress);
for (const link of all("a[href^='#view-']")) link.addEventListener("click", (event) => {
  const state = new URLSearchParams(location.hash.slice(1)); // what else is chosen stays
  for (const [name, value] of new URLSearchParams(link.hash.slice(1))) state.set(name, value);
  event.preventDefault();
  if (location.hash === `#${state}`) applyAddress(); else location.hash = state;
});
let width = window.innerWidth;
window.addEventListener("resize", () => { if (window.innerWidth !== width) { width = window.innerWidth; drawAll(); } });
document.body.dataset.ready = "yes";
