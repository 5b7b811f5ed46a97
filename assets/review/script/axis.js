// The time axis: an overview, a lane of segments and curves for each signer, other people's tiers.

/** The part of the video that is shown, seconds. */
let view = [startS, endS];
const LEFT = 124, OVERVIEW = 20, AXIS = 18, LANE = 26, EVENTS = 12, STACKED = 20, GAP = 6, HUMAN = 22;
/** Height of the curves of a signer; follows the room there is. */
let curvesHeight = 84;
/** The frame under the cursor, or null. */
let hovered = null;

const GROUPS = {
  head: ["yaw", "pitch", "roll"],
  brows: ["brow_height_left", "brow_height_right", "inner_brow_height", "inner_brow_gap"],
  eyes: ["eye_aperture_left", "eye_aperture_right", "eye_openness", "gaze_x", "gaze_y"],
  mouth: ["mouth_opening", "mouth_width", "mouth_corners"],
};
const INKS = ["#56b4e9", "#e69f00", "#cc79a7", "#f0e442", "#8ddcc0"];

/** The curves that can be shown: probabilities as lines or as strips, groups of measures, none. */
const curveModes = () => ["probabilities", "strips",
  ...Object.keys(GROUPS).filter((group) => tracks.some((track) => track.measures.some((m) => GROUPS[group].includes(m.name)))), "nocurves"];
const curveMode = () => (layer === "blind" || !curveModes().includes(settings.curves) ? (layer === "blind" ? "nocurves" : "probabilities") : settings.curves);
function nextCurves() {
  const modes = curveModes();
  settings.curves = modes[(modes.indexOf(curveMode()) + 1) % modes.length];
  keepSettings();
  labelControls();
  repaint();
  say(t(settings.curves));
}

const xOf = (time, width) => LEFT + ((time - view[0]) / (view[1] - view[0])) * (width - LEFT);
const timeOf = (x, width) => view[0] + ((x - LEFT) / (width - LEFT)) * (view[1] - view[0]);

/** Brings a time into view. */
function reveal(time) {
  const span = view[1] - view[0];
  if (time < view[0] || time > view[1] - span * 0.02) pan(time - span / 4 - view[0]);
}

function pan(by) {
  const span = view[1] - view[0];
  const from = clamp(view[0] + by, startS, Math.max(startS, endS - span));
  view = [from, from + span];
  repaint();
}

function zoom(factor, around = middleOf(frame)) {
  const span = clamp((view[1] - view[0]) * factor, Math.min(0.2, endS - startS), endS - startS);
  const share = clamp((around - view[0]) / (view[1] - view[0]), 0, 1);
  const from = clamp(around - share * span, startS, endS - span);
  view = [from, from + span];
  repaint();
}

function zoomTo(segment) {
  const [from, to] = [times[segment.first_frame], endOf(segment.last_frame)];
  const room = Math.max(0.25, (to - from) * 0.6);
  view = [Math.max(startS, from - room), Math.min(endS, to + room)];
  repaint();
}

/** The parts of a signer's face that have a row: those that were measured or have events; of many signers only the chosen one's. */
function partsOf(track) {
  if (layer === "blind" || (signers().length > 2 && track !== signer)) return [];
  if (track.isAdded) return Object.keys(PARTS);
  const isMeasured = (name) => track.measures.some((m) => name === "hands" || GROUPS[name].includes(m.name));
  return Object.keys(PARTS).filter((name) => isMeasured(name) || lanes().ofPart(track.id, name).length > 0);
}

/** The rows from top to bottom: { kind, y, height, track or tier }. */
function rows() {
  const list = [{ kind: "overview", y: 0, height: OVERVIEW }, { kind: "axis", y: OVERVIEW, height: AXIS }];
  let y = OVERVIEW + AXIS;
  const add = (kind, height, rest) => { list.push({ kind, y, height, ...rest }); y += height; };
  const curves = curveMode() === "nocurves" ? 0 : curvesHeight;
  for (const track of signers()) {
    add("lane", LANE, { track });
    for (const name of partsOf(track)) add("events", heightOfEvents(track, name), { track, part: name });
    if (curves && !track.isAdded) add("curves", curves, { track });
    y += GAP;
  }
  if (layer !== "blind") for (const tier of data.human) add("human", HUMAN, { tier });
  return { list, height: y };
}

/** What does not move with the play head, each drawn anew only when it changes: curves, which no edit changes, and the rest. */
const layersOf = { curves: { canvas: document.createElement("canvas"), key: "" }, rest: { canvas: document.createElement("canvas"), key: "" } };

function drawLayer(name, key, width, height, ratio, list) {
  const still = layersOf[name];
  if (still.key === key) return still.canvas;
  still.key = key;
  Object.assign(still.canvas, { width: width * ratio, height: height * ratio });
  const context = still.canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  drawRows(context, list, width);
  return still.canvas;
}

function drawAxis() {
  const canvas = $("timeline");
  const ratio = devicePixelRatio || 1;
  const width = canvas.clientWidth || 800;
  const many = Math.max(1, signers().filter((track) => !track.isAdded).length);
  const room = innerHeight * 0.42 - OVERVIEW - AXIS - data.human.length * HUMAN - signers().length * (LANE + GAP) - signers().flatMap((track) => partsOf(track).map((name) => heightOfEvents(track, name))).reduce((sum, height) => sum + height, 0);
  curvesHeight = clamp(Math.floor(room / many), 16, Math.round(innerHeight * 0.15));
  const { list, height } = rows();
  const dark = matchMedia("(prefers-color-scheme: dark)").matches;
  const isCurve = (row) => row.kind === "curves";
  const key = [width, height, ratio, view, curveMode(), signers().map((track) => track.id)].join("|");
  const curves = drawLayer("curves", key, width, height, ratio, list.filter(isCurve));
  const rest = drawLayer("rest", [key, language, version, layer, signer && signer.id, part, dark].join("|"), width, height, ratio, list.filter((row) => !isCurve(row)));
  if (canvas.width !== rest.width || canvas.height !== rest.height) {
    Object.assign(canvas, { width: rest.width, height: rest.height });
    canvas.style.height = `${height}px`;
  }
  const context = canvas.getContext("2d");
  context.setTransform(1, 0, 0, 1, 0, 0);
  context.clearRect(0, 0, canvas.width, canvas.height);
  context.drawImage(rest, 0, 0);
  context.drawImage(curves, 0, 0);
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  drawMoving(context, list, width, height);
}

function drawMoving(context, list, width, height) {
  if (!times.length) return;
  const ink = getComputedStyle(document.body).color;
  for (const row of list) {
    if (row.kind === "curves") drawLegend(context, row, hovered ?? frame);
    if (row.kind !== "lane" && row.kind !== "events") continue;
    const isHere = row.track === signer && (row.part || null) === part;
    if (isHere && marked && marked.track === row.track.id) frameMark(context, row, marked.first, marked.last, width, ink, "#0072b2");
    if (isHere && dragged && dragged.kind === "edge" && dragged.track === row.track) {
      for (const segment of dragged.change ? dragged.change[1] : []) drawBlock(context, segment, row, width, true);
    }
    const here = isHere && current();
    if (here) outline(context, here, row.part ? halfOf(row, isBelow(row, here)) : row, width, ink);
  }
  const at = xOf(middleOf(frame), width);
  if (at >= LEFT) {
    context.fillStyle = "#d55e00";
    context.fillRect(at - 1, OVERVIEW, 2, height - OVERVIEW);
  }
  const overview = (time) => LEFT + ((time - startS) / (endS - startS)) * (width - LEFT);
  context.fillStyle = "#d55e00";
  context.fillRect(overview(middleOf(frame)) - 1, 0, 2, OVERVIEW);
  context.strokeStyle = ink;
  context.lineWidth = 1.5;
  context.strokeRect(overview(view[0]) + 0.75, 0.75, overview(view[1]) - overview(view[0]) - 1.5, OVERVIEW - 1.5);
  if (hovered !== null) {
    context.fillStyle = "rgba(128,128,128,.8)";
    context.fillRect(xOf(middleOf(hovered), width), OVERVIEW, 1, height - OVERVIEW);
  }
}

function outline(context, segment, row, width, ink) {
  const from = clamp(xOf(times[segment.first_frame], width), LEFT, width);
  const to = clamp(xOf(endOf(segment.last_frame), width), LEFT, width);
  context.strokeStyle = ink;
  // A low row's words stay free.
  const [line, inset] = row.height < LANE ? [1.5, 0] : [2.5, 1.5];
  context.lineWidth = line;
  context.strokeRect(from, row.y + inset, Math.max(2, to - from - 1), row.height - 2 * inset);
}

function frameMark(context, row, first, last, width, ink, fill) {
  const from = clamp(xOf(times[first], width), LEFT, width), to = clamp(xOf(endOf(last), width), LEFT, width);
  context.globalAlpha = 0.35;
  context.fillStyle = fill;
  context.fillRect(from, row.y, to - from, row.height);
  context.globalAlpha = 1;
  context.setLineDash([4, 3]);
  context.strokeStyle = ink;
  context.lineWidth = 1.5;
  context.strokeRect(from, row.y + 1, Math.max(1, to - from), row.height - 2);
  context.setLineDash([]);
}

function drawRows(context, list, width) {
  const ink = getComputedStyle(document.body).color;
  context.textBaseline = "middle";
  for (const row of list) {
    context.fillStyle = ink;
    switch (row.kind) {
      case "overview": drawOverview(context, width, ink); break;
      case "axis": drawTicks(context, row.y, width, ink); break;
      case "lane": drawLane(context, row, width, ink); break;
      case "events": drawEvents(context, row, width, ink); break;
      case "curves": (curveMode() === "strips" ? drawStrips : drawLines)(context, row, width); break;
      case "human": drawTier(context, row, width, ink); break;
    }
  }
}

function drawOverview(context, width, ink) {
  context.font = "11px system-ui, sans-serif";
  context.fillText(t("overview"), 4, OVERVIEW / 2);
  context.fillStyle = "rgba(128,128,128,.25)";
  context.fillRect(LEFT, 0, width - LEFT, OVERVIEW);
  const scale = (width - LEFT) / (endS - startS);
  const shown = signers();
  const high = Math.max(2, Math.floor((OVERVIEW - 4) / Math.max(1, shown.length)));
  shown.forEach((track, k) => {
    for (const segment of lanes().of(track.id)) {
      const from = LEFT + (times[segment.first_frame] - startS) * scale;
      const wide = Math.max(0.5, (endOf(segment.last_frame) - times[segment.first_frame]) * scale);
      context.globalAlpha = segment.review ? 1 : 0.45;
      context.fillStyle = colourOf(segment.label);
      context.fillRect(from, 2 + k * high, wide, high - 1);
    }
  });
  context.globalAlpha = 1;
  if (layer === "blind") {
    context.fillStyle = ink;
    for (const [first, last] of blindStretches()) {
      context.fillRect(LEFT + (times[first] - startS) * scale, OVERVIEW - 3, Math.max(1, (endOf(last) - times[first]) * scale), 3);
    }
  }
}

function drawTicks(context, y, width, ink) {
  const steps = [0.04, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600];
  const step = steps.find((s) => (s / (view[1] - view[0])) * (width - LEFT) >= 80) || 3600;
  context.font = "11px system-ui, sans-serif";
  for (let tick = Math.ceil(view[0] / step - 1e-9); tick * step <= view[1]; tick++) {
    const x = xOf(tick * step, width);
    context.fillStyle = ink;
    context.fillRect(x, y + AXIS - 6, 1, 6);
    const seconds = tick * step;
    const text = step < 1 ? `${+seconds.toFixed(2)} s` : seconds >= 60 || endS > 120 ? clock(seconds).split(".")[0] : `${seconds} s`;
    if (x < width - 40) context.fillText(text, x + 3, y + 8);
  }
}

function drawLane(context, row, width, ink) {
  const { track, y } = row;
  context.font = `${track === signer ? "bold " : ""}13px system-ui, sans-serif`;
  if (track === signer) context.fillRect(0, y + 3, 3, LANE - 6);
  context.save();
  context.beginPath(); context.rect(0, y, LEFT - 4, LANE); context.clip();
  context.fillText(signerName(track), 8, y + LANE / 2);
  context.restore();
  drawUnlabelled(context, track, row, width);
  const [first, last] = [frameAt(view[0]), frameAt(view[1])];
  for (const segment of lanes().within(track.id, first, last)) drawBlock(context, segment, row, width, false);
}

/** Where a lane is empty: why. Hatched for no face, dotted for a covered face or one that could not be read, plain for no label. */
function drawUnlabelled(context, track, { y, height }, width) {
  context.fillStyle = "rgba(128,128,128,.18)";
  context.fillRect(LEFT, y + 2, width - LEFT, height - 4);
  if (layer === "blind") {
    for (const [first, last] of blindStretches()) {
      const from = clamp(xOf(times[first], width), LEFT, width), to = clamp(xOf(endOf(last), width), LEFT, width);
      context.fillStyle = "rgba(240,228,66,.45)";
      context.fillRect(from, y + 2, to - from, height - 4);
    }
    return;
  }
  let from = LEFT;
  let kind = null;
  const kindAt = (x) => {
    const at = frameAt(timeOf(x + 0.5, width));
    const status = seenAs(track, at).status(at);
    return status === null ? "no_face" : data.statuses[status];
  };
  for (let x = LEFT; x <= width; x++) {
    const next = x < width ? kindAt(x) : "end";
    if (next === kind) continue;
    if (kind && kind !== "ok" && kind !== "end") {
      if (kind === "no_face" || kind === "out_of_frame") hatch(context, from, y + 2, x - from, height - 4);
      else dots(context, from, y + 2, x - from, height - 4);
    }
    [from, kind] = [x, next];
  }
}

function dots(context, x, y, w, h) {
  context.fillStyle = "#808080";
  for (let k = 3; k < w; k += 6) for (let j = 4; j < h; j += 6) context.fillRect(x + k, y + j, 2, 2);
}

const isDark = (hex) => {
  const [r, g, b] = [1, 3, 5].map((k) => parseInt(hex.slice(k, k + 2), 16));
  return 0.299 * r + 0.587 * g + 0.114 * b < 110;
};

function drawBlock(context, segment, { y, height }, width, ghost) {
  const from = clamp(xOf(times[segment.first_frame], width), LEFT, width);
  const to = clamp(xOf(endOf(segment.last_frame), width), LEFT, width);
  if (to <= from) return;
  const wide = Math.max(1, to - from - 1);
  const colour = colourOf(whatOf(segment));
  context.fillStyle = colour;
  context.globalAlpha = ghost ? 0.85 : 1;
  const edge = height < 20 ? 1 : 2;
  context.fillRect(from, y + edge, wide, height - 2 * edge);
  context.globalAlpha = 1;
  if (segment.review) { context.fillStyle = isDark(colour) ? "#fff" : "#000"; context.fillRect(from, y + height - 2 * edge - 1, wide, edge); }
  if (wide < 12 || height < 10) return;
  context.save();
  context.beginPath(); context.rect(from, y, wide, height); context.clip();
  context.font = `${height < 12 ? 9 : height < 20 ? 10 : 12}px system-ui, sans-serif`;
  context.fillStyle = isDark(colour) ? "#fff" : "#000";
  const marks = (segment.unsure ? "? " : "") + (segment.comment ? "\u201c " : "");
  const place = { accepted: "\u2713 ", changed: "\u270e ", rejected: "\u2717 ", drawn: "+ ", moved: "\u2194 " }[segment.review] || "";
  context.fillText(place + marks + labelName(whatOf(segment)), from + 4, y + height / 2);
  context.restore();
}

/** The part of a row that an event is drawn in. */
const halfOf = ({ y, height }, isBelow) => (height < STACKED ? { y, height } : { y: y + (isBelow ? height / 2 : 0), height: height / 2 });

/** Events of a part of the face, each with whether it lies in its row's lower half, of two that go on at once the later one; and
    whether there are such. Remembered until something changes. */
const placements = new Map();
function placement(track, name) {
  const [key, state] = [`${track.id}|${name}`, `${version}|${layer}`];
  const known = placements.get(key);
  if (known && known.state === state) return known;
  let end = -1;
  const events = lanes().ofPart(track.id, name).map((event) => {
    const isBelow = event.first_frame <= end;
    if (!isBelow) end = event.last_frame;
    return [event, isBelow];
  });
  const found = { state, events, isStacked: events.some(([, isBelow]) => isBelow) };
  placements.set(key, found);
  return found;
}

const placedEvents = (track, name, first, last) => placement(track, name).events.filter(([event]) => event.first_frame <= last && event.last_frame >= first);
const heightOfEvents = (track, name) => (placement(track, name).isStacked ? STACKED : EVENTS);

/** Whether an event lies in the lower half of its row. */
const isBelow = ({ track, part: name }, event) => placedEvents(track, name, event.first_frame, event.first_frame).some(([other, below]) => below && other === event);

function drawEvents(context, { track, part: name, y, height }, width, ink) {
  context.fillStyle = "rgba(128,128,128,.12)";
  context.fillRect(LEFT, y + 1, width - LEFT, height - 2);
  const placed = placedEvents(track, name, frameAt(view[0]), frameAt(view[1]));
  for (const [event, isBelow] of placed) drawBlock(context, event, halfOf({ y, height }, isBelow), width, false);
  context.fillStyle = ink;
  context.font = `${track === signer && name === part ? "bold " : ""}11px system-ui, sans-serif`;
  if (track === signer && name === part) context.fillRect(0, y + 2, 3, height - 4);
  context.fillText(t(name), 16, y + height / 2);
}

/** What the face did in a segment, what lasts longest first: "mouth rounded 40 %, inner brows +6 %"; empty where it is not known. */
function didIn(segment) {
  const frames = segment.last_frame - segment.first_frame + 1;
  const shares = new Map();
  const track = trackOf(segment.track);
  for (const kind of KINDS) {
    for (const event of lanes().within(segment.track, segment.first_frame, segment.last_frame, kind)) {
      const shared = Math.min(event.last_frame, segment.last_frame) - Math.max(event.first_frame, segment.first_frame) + 1;
      shares.set(kind, (shares.get(kind) || 0) + shared / frames);
    }
  }
  const parts = [...shares].sort((a, b) => b[1] - a[1]).filter(([, share]) => share >= 0.005).map(([kind, share]) => `${t(kind)} ${Math.round(100 * Math.min(1, share))} %`);
  const measure = track.measures.find((m) => m.name === "inner_brow_height");
  const heights = [];
  for (let at = segment.first_frame; measure && at <= segment.last_frame; at++) { const v = valueOf(measure, track.place(at)); if (v !== null) heights.push(v); }
  const median = heights.sort((a, b) => a - b)[heights.length >> 1];
  if (2 * heights.length >= frames && Math.abs(median) >= 1) parts.push(`${t("inner_brow_height")} ${median > 0 ? "+" : "\u2212"}${Math.abs(median).toFixed(0)} %`);
  return parts.join(", ");
}

/** The curves of a signer in the mode that is shown: { name, ink, value(frame) 0 to 1 or null, text(frame) }. */
function curvesOf(track) {
  const mode = curveMode();
  if (mode === "probabilities" || mode === "strips") {
    return CLASSES.map((name, k) => ({
      name: t(name), ink: data.colours[k],
      value: (at) => { const seen = seenAs(track, at); return seen.status(at) === STATUS_OK ? seen.probabilities[k][seen.place(at)] / 255 : null; },
      text: (value) => `${Math.round(100 * value)} %`,
    }));
  }
  return (GROUPS[mode] || []).flatMap((name) => track.measures.filter((m) => m.name === name)).map((measure, k) => ({
    name: t(measure.name), ink: INKS[k], range: rangeOf(measure), unit: measure.unit,
    value: (at) => { const v = valueOf(measure, track.place(at)); const [low, high] = rangeOf(measure); return v === null ? null : (v - low) / (high - low); },
    text: (share) => { const [low, high] = rangeOf(measure); const v = low + share * (high - low); return measure.unit === "%" ? `${v.toFixed(1)} %` : `${v.toFixed(0)}${measure.unit}`; },
  }));
}

/** Least and most that measures of one kind reach in this video, over all signers, so that their curves can be compared. */
const ranges = new Map();
function rangeOf({ name, low, high }) {
  const group = Object.values(GROUPS).find((names) => names.includes(name)) || [name];
  const alike = (m) => group.includes(m.name) && m.low === low && m.high === high;
  const key = `${group[0]}|${low}|${high}`;
  if (!ranges.has(key)) {
    let [least, most] = [254, 0];
    for (const { values } of tracks.flatMap((track) => track.measures.filter(alike))) {
      for (const stored of values) if (stored !== 255) { least = Math.min(least, stored); most = Math.max(most, stored); }
    }
    // A face that keeps still has a flat curve: an eighth of the scale at least.
    const room = Math.max(4, (32 - (most - least)) / 2);
    const at = (stored) => low + ((high - low) * clamp(stored, 0, 254)) / 254;
    ranges.set(key, most < least ? [low, high] : [at(least - room), at(most + room)]);
  }
  return ranges.get(key);
}

const PLOT = "#1c1c1c";

function drawLines(context, { track, y, height }, width) {
  context.fillStyle = PLOT;
  context.fillRect(LEFT, y, width - LEFT, height);
  context.strokeStyle = "#3c3c3c";
  context.lineWidth = 1;
  for (const share of [0.25, 0.5, 0.75]) {
    context.beginPath();
    context.moveTo(LEFT, Math.round(y + share * height) + 0.5); context.lineTo(width, Math.round(y + share * height) + 0.5);
    context.stroke();
  }
  drawScale(context, curvesOf(track), y, height, width);
  const [first, last] = [frameAt(view[0]), frameAt(view[1])];
  // A point a frame where there is room, else a point a pixel: the mean of its frames.
  const step = Math.max(1, (last - first) / (width - LEFT));
  context.save();
  context.beginPath(); context.rect(LEFT, y, width - LEFT, height); context.clip();
  context.lineWidth = 1.5;
  for (const curve of curvesOf(track)) {
    context.strokeStyle = curve.ink;
    context.beginPath();
    let isDrawing = false;
    for (let at = first; at <= last; at += step) {
      const [from, to] = [Math.floor(at), Math.min(last, Math.max(Math.floor(at), Math.ceil(at + step) - 1))];
      let sum = 0, count = 0;
      const stride = Math.max(1, (to - from) >> 3);
      for (let k = from; k <= to; k += stride) { const v = curve.value(k); if (v !== null) { sum += v; count++; } }
      if (!count) { isDrawing = false; continue; }
      const [px, py] = [xOf(middleOf(from), width), y + 2 + (1 - clamp(sum / count, 0, 1)) * (height - 4)];
      if (isDrawing) context.lineTo(px, py); else context.moveTo(px, py);
      isDrawing = true;
    }
    context.stroke();
  }
  context.restore();
}

/** Where all curves have one scale: its ends, and where it is zero. */
function drawScale(context, curves, y, height, width) {
  const [range] = curves.map((curve) => curve.range);
  if (!range || height < 30 || curves.some((curve) => String(curve.range) !== String(range))) return;
  const [low, high] = range;
  context.fillStyle = "#a8a8a8";
  if (low < 0 && high > 0) context.fillRect(LEFT, Math.round(y + 2 + (high / (high - low)) * (height - 4)), width - LEFT, 1);
  context.font = "9px system-ui, sans-serif";
  context.textAlign = "right";
  const text = (value) => `${value < 0 ? "\u2212" : ""}${Math.abs(value).toFixed(0)}${curves[0].unit === "%" ? " %" : curves[0].unit}`;
  context.fillText(text(high), width - 3, y + 7);
  context.fillText(text(low), width - 3, y + height - 6);
  context.textAlign = "left";
}

/** A strip a class, darker for less: the largest probability of the frames at each pixel. */
function drawStrips(context, { track, y, height }, width) {
  context.fillStyle = PLOT;
  context.fillRect(LEFT, y, width - LEFT, height);
  const high = height / CLASSES.length;
  const curves = curvesOf(track);
  for (let x = LEFT; x < width; x++) {
    const [from, to] = [frameAt(timeOf(x, width)), frameAt(timeOf(x + 1, width))];
    const stride = Math.max(1, ((to - from) / 12) | 0);
    curves.forEach((curve, k) => {
      let largest = 0;
      for (let at = from; at <= to; at += stride) largest = Math.max(largest, curve.value(at) || 0);
      context.globalAlpha = largest;
      context.fillStyle = curve.ink;
      context.fillRect(x, y + k * high, 1, high - 1);
    });
  }
  context.globalAlpha = 1;
}

/** Names of the curves with their values at a frame. */
function drawLegend(context, { track, y, height }, at) {
  const curves = curvesOf(track).map((curve) => ({ ...curve, now: curve.value(at) }));
  const line = clamp(height / curves.length, 10, 16);
  const room = Math.floor(height / line);
  const shown = curves.length <= room ? curves : [...curves].sort((a, b) => (b.now ?? -1) - (a.now ?? -1)).slice(0, room);
  context.font = `${line < 12 ? 10 : 11}px system-ui, sans-serif`;
  context.textBaseline = "middle";
  const ink = getComputedStyle(document.body).color;
  shown.forEach((curve, k) => {
    const cy = y + (k + 0.5) * (curveMode() === "strips" ? height / curves.length : line);
    context.fillStyle = curve.ink;
    context.fillRect(8, cy - 3, 7, 7);
    context.fillStyle = ink;
    context.textAlign = "left";
    const value = curve.now === null ? "\u2013" : curve.text(curve.now);
    context.fillText(curve.name, 19, cy, LEFT - 5 - 19 - 5 - context.measureText(value).width);
    context.textAlign = "right";
    context.fillText(value, LEFT - 5, cy);
    context.textAlign = "left";
  });
}

function drawTier(context, { tier, y, height }, width, ink) {
  context.font = "12px system-ui, sans-serif";
  context.fillText(tier.name.slice(0, 16), 8, y + height / 2);
  for (const [start, end, value, label] of tier.annotations) {
    const [from, to] = [xOf(start / 1000, width), xOf(end / 1000, width)].map((x) => clamp(x, LEFT, width));
    if (to <= from) continue;
    const colour = label === null ? "#bbbbbb" : colourOf(label);
    context.fillStyle = colour;
    context.fillRect(from, y + 2, Math.max(1, to - from - 1), height - 4);
    context.save();
    context.beginPath(); context.rect(from, y, to - from, height); context.clip();
    context.fillStyle = isDark(colour) ? "#fff" : "#000";
    context.fillText(value, from + 4, y + height / 2);
    context.restore();
  }
}
