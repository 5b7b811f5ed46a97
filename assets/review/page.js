"use strict";
// Reads what the page was made from, shows it beside the video, and keeps a person's corrections. Nothing is sent anywhere.

const data = JSON.parse(document.getElementById("data").textContent);
const CLASSES = data.classes;
const STATUS = { ok: 0, no_face: 1, low_quality: 2, occluded: 3, out_of_frame: 4, turned_away: 5 };
const $ = (id) => document.getElementById(id);
const clamp = (value, low, high) => Math.min(high, Math.max(low, value));

// --- frames and tracks ------------------------------------------------------------------------------------------------

/** Bytes of a base64 text, as an array of the given kind. */
function unpack(text, Kind) {
  const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  return new Kind(bytes.buffer);
}

/** Start of every frame, seconds of the player: pts times time base less the container's start, or as listed where the
 * clock was reset. */
function frameTimes({ first_pts, steps, time_base, start_s, listed }) {
  if (listed) return Float64Array.from(listed);
  const pts = [first_pts];
  for (const [step, count] of steps) for (let k = 0; k < count; k++) pts.push(pts[pts.length - 1] + step);
  return Float64Array.from(pts, (value) => (value * time_base[0]) / time_base[1] - start_s);
}

const times = data.frames.count ? frameTimes(data.frames) : new Float64Array();
const endOf = (frame) => (frame + 1 < times.length ? times[frame + 1] : data.frames.end_s);
const startS = times.length ? times[0] : 0;
const endS = Math.max(data.frames.end_s, startS + 1e-3);

/** The frame shown at a time, by the start times. */
function frameAt(time) {
  let low = 0, high = times.length;
  while (low < high) { const middle = (low + high) >> 1; if (times[middle] <= time) low = middle + 1; else high = middle; }
  return clamp(low - 1, 0, Math.max(0, times.length - 1));
}

const tracks = data.tracks.map((track) => ({
  ...track,
  probabilities: unpack(track.probabilities, Uint8Array),
  boxes: unpack(track.boxes, Int16Array),
  statuses: unpack(track.statuses, Uint8Array),
  at(frame) {
    const place = frame - this.first_frame;
    if (place < 0 || place >= this.statuses.length) return null;
    const p = this.probabilities.subarray(place * 7, place * 7 + 7);
    const box = this.boxes.subarray(place * 4, place * 4 + 4);
    return { status: this.statuses[place], p, box: box[2] > 0 ? box : null };
  },
}));

const segments = tracks.flatMap((track) =>
  track.segments.map(([first, last, label, confidence], place) => ({
    id: `${track.id}-${place}`, track, first, last, label, old: label, confidence, review: null,
    start: times[first], end: endOf(last),
  })),
);

// --- corrections ------------------------------------------------------------------------------------------------------

const STORE = `annotate-review:${data.media.sha256 || data.media.path}:${data.model.sha256}`;
let corrections = [];
const undone = [];
let unsaved = false;
let signer = tracks[0] || null;
let frame = 0;

function load() {
  try {
    const stored = JSON.parse(localStorage.getItem(STORE) || "[]");
    corrections = stored.filter((c) => segments.some((s) => s.id === c.segment));
    unsaved = corrections.length > 0;
    $("reviewer").value = localStorage.getItem("annotate-review:reviewer") || "";
  } catch { warn("nostore"); }
}

function keep() {
  try {
    localStorage.setItem(STORE, JSON.stringify(corrections));
    localStorage.setItem("annotate-review:reviewer", $("reviewer").value);
  } catch { warn("nostore"); }
}

/** Segments as the corrections so far leave them. */
function replay() {
  for (const segment of segments) { segment.label = segment.old; segment.review = null; }
  for (const correction of corrections) {
    const segment = segments.find((s) => s.id === correction.segment);
    segment.label = correction.new;
    segment.review = correction.new === null ? "rejected" : correction.new === correction.old ? "accepted" : "changed";
  }
}

function correct(label) {
  const segment = current();
  if (!segment) return;
  corrections.push({
    schema: "annotate/correction/1", media: data.media.path, media_sha256: data.media.sha256 || null,
    model_sha256: data.model.sha256, segment: segment.id, track: segment.track.id, first_frame: segment.first,
    last_frame: segment.last, old: segment.old, new: label, reviewer: $("reviewer").value, time: new Date().toISOString(),
  });
  undone.length = 0;
  unsaved = true;
  changed();
}

function undo() {
  const last = corrections.pop();
  if (!last) return;
  undone.push(last);
  changed();
  const segment = segments.find((s) => s.id === last.segment);
  signer = segment.track;
  seek(segment.first);
}

function changed() { keep(); replay(); draw(); }

function save() {
  const lines = corrections.map((c) => JSON.stringify(c)).join("\n");
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([lines + (lines ? "\n" : "")], { type: "application/x-ndjson" }));
  link.download = `${data.media.name}.corrections.jsonl`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  unsaved = false;
}

addEventListener("beforeunload", (event) => { if (unsaved) event.preventDefault(); });

const current = () => segments.find((s) => s.track === signer && s.first <= frame && frame <= s.last) || null;

/** Where a person's look is worth most: unsure and long. */
function nextUnsure() {
  const worth = (s) => (1 - s.confidence) * (s.end - s.start);
  const open = segments.filter((s) => !s.review && s !== current()).sort((a, b) => worth(b) - worth(a));
  if (open.length) { signer = open[0].track; seek(open[0].first); }
}

/** Seconds a person takes for a segment: the median so far, pauses of more than two minutes apart. */
function pace() {
  const stamps = corrections.map((c) => Date.parse(c.time) / 1000);
  const gaps = stamps.slice(1).map((t, k) => t - stamps[k]).filter((gap) => gap < 120).sort((a, b) => a - b);
  return gaps.length ? gaps[gaps.length >> 1] : 5;
}

// --- video ------------------------------------------------------------------------------------------------------------

const video = $("video");
let playing = false;

/** Shows a frame: the middle of its time, so that no rounding shows its neighbour. */
function seek(to) {
  frame = clamp(to, 0, Math.max(0, times.length - 1));
  video.pause();
  if (times.length) video.currentTime = (times[frame] + endOf(frame)) / 2;
  reveal(times[frame]);
  draw();
}

function shown(time) {
  const at = frameAt(time + 1e-4);
  document.documentElement.dataset.shownFrame = at;
  if (at !== frame && !video.paused) { frame = at; reveal(time); draw(); }
}

if (HTMLVideoElement.prototype.requestVideoFrameCallback) {
  const step = (_, { mediaTime }) => { shown(mediaTime); video.requestVideoFrameCallback(step); };
  video.requestVideoFrameCallback(step);
} else {
  const step = () => { if (!video.paused) shown(video.currentTime); requestAnimationFrame(step); };
  requestAnimationFrame(step);
}
video.addEventListener("error", () => {
  $("novideo").hidden = false;
  video.hidden = true;
  say();
});
video.addEventListener("loadedmetadata", () => draw());
video.src = data.media.url;

function toggle() { if (video.paused) video.play().catch(() => {}); else video.pause(); }

function jump(direction) {
  const own = segments.filter((s) => s.track === signer);
  const next = direction > 0 ? own.find((s) => s.first > frame) : own.filter((s) => s.first < frame).pop();
  if (next) seek(next.first);
}

// --- words ------------------------------------------------------------------------------------------------------------

let language = data.language || (navigator.language.startsWith("de") ? "de" : "en");
const t = (key) => data.strings[language][key] ?? key;
const className = (label) => (label === null ? t("notaface") : t(label));

function warn(key) { $("warning").hidden = false; $("warning").textContent = t(key); }

const KEYS = [
  ["Space", "play"], ["\u2190 \u2192", "step"], ["Shift \u2190 \u2192", "jump"], ["J K L", "shuttle"],
  ["0", "neutral"], ...CLASSES.slice(1).map((name, k) => [String(k + 1), name]), ["X", "notaface"], ["A", "accept"],
  ["N", "unsure"], ["U", "undo"], ["S", "save"], ["Tab", "signer"], ["+ \u2212", "zoom"],
];

function say() {
  document.documentElement.lang = language;
  document.querySelectorAll("[data-text]").forEach((node) => { node.textContent = t(node.dataset.text); });
  $("title").textContent = data.media.name;
  $("save").textContent = t("save");
  $("language").textContent = language === "en" ? "Deutsch" : "English";
  $("timeline").setAttribute("aria-label", t("timeline"));
  $("novideo").textContent = `${t("novideo")} ${data.media.path}`;
  if (!data.complete) warn("incomplete");
  $("keys").replaceChildren(...KEYS.flatMap(([key, what]) => {
    const term = document.createElement("dt");
    term.append(...key.split(" ").map((k) => Object.assign(document.createElement("kbd"), { textContent: k })));
    return [term, Object.assign(document.createElement("dd"), { textContent: t(what) })];
  }));
  const button = (key, text, act) => {
    const node = document.createElement("button");
    node.type = "button";
    node.append(Object.assign(document.createElement("kbd"), { textContent: key }), text);
    node.addEventListener("click", act);
    return node;
  };
  $("actions").replaceChildren(
    button("0", t("neutral"), () => correct("neutral")),
    ...CLASSES.slice(1).map((name, k) => button(String(k + 1), t(name), () => correct(name))),
    button("X", t("notaface"), () => correct(null)),
    button("A", t("accept"), () => accept()),
    button("N", t("unsure"), nextUnsure),
    button("U", t("undo"), undo),
  );
  draw();
}

function accept() { const s = current(); if (s) correct(s.label === null ? s.old : s.label); }

// --- drawing ----------------------------------------------------------------------------------------------------------

const colour = (label) => (label === null ? data.no_face : data.colours[CLASSES.indexOf(label)]);

function draw() {
  drawOverlay();
  drawNow();
  drawTimeline();
  const done = segments.filter((s) => s.review).length;
  const minutes = Math.ceil(((segments.length - done) * pace()) / 60);
  $("progress").textContent = t("progress").replace("{done}", done).replace("{all}", segments.length).replace("{minutes}", minutes);
  document.documentElement.dataset.frame = frame;
}

function hatch(context, x, y, w, h) {
  context.save();
  context.beginPath(); context.rect(x, y, w, h); context.clip();
  context.strokeStyle = "#808080"; context.lineWidth = 1;
  context.beginPath();
  for (let k = -h; k < w; k += 6) { context.moveTo(x + k, y + h); context.lineTo(x + k + h, y); }
  context.stroke();
  context.restore();
}

function drawOverlay() {
  const canvas = $("overlay");
  const { offsetLeft, offsetTop, clientWidth: width, clientHeight: height } = video;
  const ratio = devicePixelRatio || 1;
  Object.assign(canvas, { width: width * ratio, height: height * ratio });
  canvas.style.cssText = `left:${offsetLeft}px;top:${offsetTop}px;width:${width}px;height:${height}px`;
  const context = canvas.getContext("2d");
  const scale = (width * ratio) / data.media.width;
  context.font = `${14 * ratio}px system-ui, sans-serif`;
  for (const track of tracks) {
    const record = track.at(frame);
    if (!record || !record.box) continue;
    const [x, y, w, h] = Array.from(record.box, (v) => v * scale);
    const segment = segments.find((s) => s.track === track && s.first <= frame && frame <= s.last);
    const read = record.status === STATUS.ok && segment && segment.label !== null;
    context.strokeStyle = read ? colour(segment.label) : data.no_face;
    context.lineWidth = (track === signer ? 3 : 1.5) * ratio;
    context.strokeRect(x, y, w, h);
    if (!read) hatch(context, x, y, w, h);
    const text = `${track.signer} ${read ? t(segment.label) : t(data.statuses[record.status])}`;
    context.fillStyle = "rgba(0,0,0,.7)";
    context.fillRect(x, y - 20 * ratio, context.measureText(text).width + 10 * ratio, 20 * ratio);
    context.fillStyle = "#fff";
    context.fillText(text, x + 5 * ratio, y - 5 * ratio);
  }
}

function drawNow() {
  const record = signer && signer.at(frame);
  const segment = current();
  $("who").textContent = signer ? `${t("signer")} ${signer.signer}` : t("nobody");
  const parts = [];
  if (signer) parts.push(record ? t(data.statuses[record.status]) : t("no_face"));
  if (segment) parts.push(`${className(segment.label)} ${times[segment.first].toFixed(2)}\u2013${segment.end.toFixed(2)} s`);
  if (segment) parts.push(segment.review ? t(segment.review) : `${t("confidence")} ${(100 * segment.confidence).toFixed(0)} %`);
  $("state").textContent = parts.join(" \u00b7 ");
  const readable = record && record.status === STATUS.ok;
  const top = readable ? record.p.indexOf(Math.max(...record.p)) : -1;
  $("bars").replaceChildren(...CLASSES.map((name, k) => {
    const item = document.createElement("li");
    const value = readable ? record.p[k] / 255 : 0;
    const [label, bar, number] = ["span", "span", "span"].map((tag) => document.createElement(tag));
    const fill = document.createElement("i");
    fill.style.width = `${100 * value}%`;
    fill.style.background = data.colours[k];
    label.textContent = t(name);
    bar.append(fill);
    number.textContent = readable ? `${Math.round(100 * value)} %` : "";
    if (k === top) item.className = "top";
    item.append(label, bar, number);
    return item;
  }));
  const now = times.length ? times[frame] : 0;
  $("clock").textContent = `${t("frame")} ${frame} \u00b7 ${now.toFixed(3)} s`;
}

// The part of the video the timeline shows, seconds.
let view = [startS, endS];
const HEAT = 11, LANE = 24, SURE = 22, AXIS = 22, LEFT = 96, GAP = 10;

function reveal(time) {
  const span = view[1] - view[0];
  if (time < view[0] || time > view[1]) {
    const from = clamp(time - span / 4, startS, Math.max(startS, endS - span));
    view = [from, from + span];
  }
}

function zoom(factor, around) {
  const span = clamp((view[1] - view[0]) * factor, Math.min(0.5, endS - startS), endS - startS);
  const share = (around - view[0]) / (view[1] - view[0]);
  const from = clamp(around - share * span, startS, endS - span);
  view = [from, from + span];
  drawTimeline();
}

/** A layer of everything but the play head; drawn anew only when it changes. */
const layer = document.createElement("canvas");
let layerKey = "";

function drawTimeline() {
  const canvas = $("timeline");
  const ratio = devicePixelRatio || 1;
  const width = canvas.clientWidth || 800;
  const perTrack = CLASSES.length * HEAT + LANE + SURE + GAP;
  const height = Math.max(tracks.length, 1) * perTrack + data.human.length * (LANE + 2) + AXIS;
  const reviewed = segments.map((s) => `${s.label}${s.review}`).join();
  const key = [width, height, ratio, view, language, reviewed, signer && signer.id].join("|");
  if (key !== layerKey) {
    layerKey = key;
    Object.assign(layer, { width: width * ratio, height: height * ratio });
    const context = layer.getContext("2d");
    context.scale(ratio, ratio);
    drawLanes(context, width, perTrack);
  }
  if (canvas.width !== layer.width || canvas.height !== layer.height) {
    Object.assign(canvas, { width: layer.width, height: layer.height });
    canvas.style.height = `${height}px`;
  }
  const context = canvas.getContext("2d");
  context.setTransform(1, 0, 0, 1, 0, 0);
  context.clearRect(0, 0, canvas.width, canvas.height);
  context.drawImage(layer, 0, 0);
  if (!times.length) return;
  context.scale(ratio, ratio);
  const middle = (times[frame] + endOf(frame)) / 2;
  context.fillStyle = "#d55e00";
  context.fillRect(xOf(middle, width) - 1, 0, 2, height - AXIS);
}

const xOf = (time, width) => LEFT + ((time - view[0]) / (view[1] - view[0])) * (width - LEFT);
const timeOf = (x, width) => view[0] + ((x - LEFT) / (width - LEFT)) * (view[1] - view[0]);

function drawLanes(context, width, perTrack) {
  const ink = getComputedStyle(document.body).color;
  context.clearRect(0, 0, width, 1e4);
  context.textBaseline = "middle";
  let y = 0;
  for (const track of tracks) {
    drawHeat(context, track, y, width);
    context.font = "11px system-ui, sans-serif";
    context.fillStyle = ink;
    CLASSES.forEach((name, k) => context.fillText(t(name), 4, y + (k + 0.5) * HEAT));
    y += CLASSES.length * HEAT;
    context.font = `${track === signer ? "bold " : ""}13px system-ui, sans-serif`;
    context.fillText(`${t("signer")} ${track.signer}`, 4, y + LANE / 2);
    drawSegments(context, track, y, width);
    y += LANE;
    context.font = "11px system-ui, sans-serif";
    context.fillStyle = ink;
    context.fillText(t("confidence"), 4, y + SURE / 2);
    for (const s of segments.filter((s) => s.track === track)) {
      const [from, to] = [xOf(s.start, width), xOf(s.end, width)].map((x) => clamp(x, LEFT, width));
      if (to <= from) continue;
      context.fillStyle = "rgba(128,128,128,.6)";
      const high = s.confidence * (SURE - 4);
      context.fillRect(from, y + SURE - 2 - high, Math.max(1, to - from), high);
    }
    y += SURE + GAP;
  }
  if (!tracks.length) y += perTrack;
  for (const lane of data.human) {
    context.font = "12px system-ui, sans-serif";
    context.fillStyle = ink;
    context.fillText(lane.name.slice(0, 14), 4, y + LANE / 2);
    for (const [start, end, value, label] of lane.annotations) {
      block(context, xOf(start / 1000, width), xOf(end / 1000, width), y, width, label, value, null);
    }
    y += LANE + 2;
  }
  drawAxis(context, y, width, ink);
}

/** A strip a class, a column a pixel: the largest probability of the frames there. */
function drawHeat(context, track, y, width) {
  for (let x = LEFT; x < width; x++) {
    const [from, to] = [frameAt(timeOf(x, width)), frameAt(timeOf(x + 1, width))];
    const largest = new Uint8Array(7);
    let unread = true;
    const stride = Math.max(1, ((to - from) / 24) | 0);
    for (let k = from; k <= Math.max(from, to); k += stride) {
      const record = track.at(k);
      if (!record || record.status !== STATUS.ok) continue;
      unread = false;
      for (let c = 0; c < 7; c++) largest[c] = Math.max(largest[c], record.p[c]);
    }
    if (unread) {
      context.fillStyle = (x & 3) < 2 ? "rgba(128,128,128,.35)" : "rgba(128,128,128,.12)";
      context.fillRect(x, y, 1, 7 * HEAT);
      continue;
    }
    for (let c = 0; c < 7; c++) {
      context.globalAlpha = largest[c] / 255;
      context.fillStyle = data.colours[c];
      context.fillRect(x, y + c * HEAT, 1, HEAT - 1);
    }
    context.globalAlpha = 1;
  }
}

function drawSegments(context, track, y, width) {
  hatch(context, LEFT, y + 2, width - LEFT, LANE - 4);
  for (const s of segments.filter((s) => s.track === track)) {
    block(context, xOf(s.start, width), xOf(s.end, width), y, width, s.label, className(s.label), s.review);
  }
}

function block(context, from, to, y, width, label, text, review) {
  [from, to] = [clamp(from, LEFT, width), clamp(to, LEFT, width)];
  if (to <= from) return;
  const size = Math.max(1, to - from - 1);
  context.fillStyle = label === undefined ? "#bbb" : colour(label);
  context.fillRect(from, y + 2, size, LANE - 4);
  context.save();
  context.beginPath(); context.rect(from, y, size, LANE); context.clip();
  context.font = "12px system-ui, sans-serif";
  context.fillStyle = "#000";
  const mark = { accepted: "\u2713 ", changed: "\u270e ", rejected: "\u2717 " }[review] || "";
  context.fillText(mark + text, from + 4, y + LANE / 2);
  context.restore();
}

function drawAxis(context, y, width, ink) {
  const steps = [0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600];
  const step = steps.find((s) => (s / (view[1] - view[0])) * (width - LEFT) >= 70) || 3600;
  context.fillStyle = ink;
  context.font = "11px system-ui, sans-serif";
  for (let tick = Math.ceil(view[0] / step); tick * step <= view[1]; tick++) {
    const x = xOf(tick * step, width);
    context.fillRect(x, y, 1, 5);
    if (x < width - 40) context.fillText(`${+(tick * step).toFixed(1)} s`, x + 3, y + 12);
  }
}

// --- summary, also for print ------------------------------------------------------------------------------------------

function summarise() {
  const make = (tag, text) => Object.assign(document.createElement(tag), { textContent: text });
  const rows = tracks.map((track) => {
    const own = segments.filter((s) => s.track === track);
    const total = (label) => own.filter((s) => s.label === label).reduce((sum, s) => sum + (s.end - s.start), 0);
    const row = document.createElement("tr");
    row.append(make("th", `${t("signer")} ${track.signer}`), ...CLASSES.map((c) => make("td", Math.round(1000 * total(c)))));
    return row;
  });
  const head = document.createElement("tr");
  head.append(make("th", t("totals")), ...CLASSES.map((c) => make("th", t(c))));
  const table = document.createElement("table");
  table.append(head, ...rows);
  const origin = `${data.tool} \u00b7 ${data.model.name} \u00b7 ${data.model.sha256.slice(0, 12)} \u00b7 ${data.media.path}`;
  $("summary").replaceChildren(make("h2", t("summary")), table, make("p", origin), make("p", t("caveat")));
}

// --- hands ------------------------------------------------------------------------------------------------------------

const byKey = {
  " ": toggle, k: toggle, j: () => seek(frame - 10), l: () => seek(frame + 10),
  ArrowLeft: (shift) => (shift ? jump(-1) : seek(frame - 1)), ArrowRight: (shift) => (shift ? jump(1) : seek(frame + 1)),
  0: () => correct("neutral"), x: () => correct(null), a: accept, n: nextUnsure, u: undo, s: save,
  "+": () => zoom(0.5, times[frame] || 0), "-": () => zoom(2, times[frame] || 0),
};
CLASSES.slice(1).forEach((name, k) => { byKey[k + 1] = () => correct(name); });

addEventListener("keydown", (event) => {
  if (event.target.matches("input") || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "Tab" && event.target === $("timeline") && tracks.length > 1 && !event.shiftKey) {
    signer = tracks[(tracks.indexOf(signer) + 1) % tracks.length];
    event.preventDefault();
    return draw();
  }
  const act = byKey[event.key] || byKey[event.key.toLowerCase()];
  if (!act || (event.key === " " && event.target.matches("button, summary"))) return;
  event.preventDefault();
  act(event.shiftKey);
});

$("timeline").addEventListener("pointerdown", (event) => {
  const canvas = $("timeline");
  const perTrack = CLASSES.length * HEAT + LANE + SURE + GAP;
  const over = tracks[Math.floor(event.offsetY / perTrack)];
  if (over) signer = over;
  const go = (e) => seek(frameAt(timeOf(clamp(e.offsetX, LEFT, canvas.clientWidth), canvas.clientWidth)));
  canvas.setPointerCapture(event.pointerId);
  canvas.onpointermove = go;
  canvas.onpointerup = () => { canvas.onpointermove = null; };
  go(event);
});
$("timeline").addEventListener("wheel", (event) => {
  event.preventDefault();
  zoom(event.deltaY > 0 ? 1.25 : 0.8, timeOf(Math.max(LEFT, event.offsetX), $("timeline").clientWidth));
}, { passive: false });
$("save").addEventListener("click", save);
$("language").addEventListener("click", () => { language = language === "en" ? "de" : "en"; say(); summarise(); });
$("reviewer").addEventListener("change", keep);
addEventListener("resize", draw);
addEventListener("beforeprint", summarise);

load();
replay();
say();
summarise();
document.documentElement.dataset.ready = "true";
