// The mouse on the time axis: choose, scrub, mark, drag edges, zoom, pan.

/** What is being dragged: { kind: edge | mark | scrub | overview | pan, … }, or null. */
let dragged = null;
/** Distance in pixels within which an edge is taken, and beyond which a press is a drag. */
const NEAR = 5;

const timeline = $("timeline");
const xIn = (event) => event.clientX - timeline.getBoundingClientRect().left;
const yIn = (event) => event.clientY - timeline.getBoundingClientRect().top;
const frameUnder = (event) => frameAt(timeOf(clamp(xIn(event), LEFT, timeline.clientWidth), timeline.clientWidth));
const rowUnder = (event) => { const y = yIn(event); return rows().list.find((row) => y >= row.y && y < row.y + row.height) || null; };

/** The event under the cursor: of two that go on at once, the one drawn there. */
function eventUnder(event, row) {
  const at = frameUnder(event);
  const isLower = yIn(event) >= row.y + row.height / 2;
  const here = placedEvents(row.track, row.part, at, at).filter(([found]) => found.first_frame <= at && found.last_frame >= at);
  const [found] = here.find(([, below]) => below === isLower) || here[0] || [null];
  return found;
}

/** The edge under the cursor, { segment, side }, or null. */
function edgeUnder(event, row) {
  if (!row || (row.kind !== "lane" && row.kind !== "events")) return null;
  const [x, width] = [xIn(event), timeline.clientWidth];
  if (x < LEFT) return null;
  const at = frameUnder(event);
  const reach = Math.ceil((NEAR / (width - LEFT)) * (view[1] - view[0]) / Math.max(1e-3, endOf(at) - times[at])) + 1;
  let best = null;
  const over = row.part && eventUnder(event, row);
  const near = row.part ? lanes().ofPart(row.track.id, row.part, at - reach, at + reach) : lanes().within(row.track.id, at - reach, at + reach);
  for (const segment of near) {
    for (const [side, time] of [["first_frame", times[segment.first_frame]], ["last_frame", endOf(segment.last_frame)]]) {
      const far = Math.abs(xOf(time, width) - x);
      // Of two that touch, the one the cursor is over.
      const isOver = over ? segment === over : at >= segment.first_frame && at <= segment.last_frame;
      if (far <= NEAR && (!best || (isOver && !best.isOver) || (isOver === best.isOver && far < best.far))) best = { segment, side, far, isOver };
    }
  }
  return best;
}

timeline.addEventListener("pointerdown", (event) => {
  if (!times.length || event.button > 1) return;
  const row = rowUnder(event);
  if (!row) return;
  event.preventDefault();
  timeline.focus({ preventScroll: true });
  timeline.setPointerCapture(event.pointerId);
  if (row.track) signer = row.track;
  if (row.kind === "lane" || row.kind === "events") setPart(row.part || null);
  if (row.kind === "events") picked = eventUnder(event, row)?.segment ?? null;
  const x = xIn(event);
  const edge = edgeUnder(event, row);
  if (event.button === 1) dragged = { kind: "pan", x };
  else if (row.kind === "overview") { dragged = { kind: "overview" }; overviewTo(event); }
  else if (x < LEFT) { dragged = null; repaint(); return; }
  else if (edge && (picked = edge.segment.segment)) dragged = { kind: "edge", track: row.track, ...edge, alone: event.altKey, change: null };
  else if (row.kind === "lane" || row.kind === "events") dragged = { kind: "mark", track: row.track, from: frameUnder(event), x, moved: false };
  else { dragged = { kind: "scrub" }; seek(frameUnder(event)); }
  repaint();
});

timeline.addEventListener("pointermove", (event) => {
  const row = rowUnder(event);
  if (!dragged) {
    timeline.style.cursor = edgeUnder(event, row) ? "ew-resize" : row && row.kind === "overview" ? "grab" : "crosshair";
    const over = xIn(event) >= LEFT && row && row.kind !== "overview" ? frameUnder(event) : null;
    if (over !== hovered) { hovered = over; hint(event, row); repaint(); }
    return;
  }
  const at = frameUnder(event);
  switch (dragged.kind) {
    case "edge": {
      // The edge between two frames that is nearest to the cursor.
      const time = timeOf(clamp(xIn(event), LEFT, timeline.clientWidth), timeline.clientWidth);
      const boundary = time > middleOf(at) ? at + 1 : at;
      const to = dragged.side === "first_frame" ? boundary : boundary - 1;
      dragged.change = movedEdge(dragged.segment, dragged.side, to, dragged.alone || event.altKey);
      seek(dragged.change ? dragged.change[1][0][dragged.side] : dragged.segment[dragged.side]);
      break;
    }
    case "mark":
      if (Math.abs(xIn(event) - dragged.x) > NEAR) dragged.moved = true;
      if (dragged.moved) {
        marked = { track: dragged.track.id, first: Math.min(dragged.from, at), last: Math.max(dragged.from, at) };
        seek(at);
      }
      break;
    case "scrub": seek(at); break;
    case "overview": overviewTo(event); break;
    case "pan": pan(timeOf(dragged.x, timeline.clientWidth) - timeOf(xIn(event), timeline.clientWidth)); dragged.x = xIn(event); break;
  }
});

timeline.addEventListener("pointerup", (event) => {
  const done = dragged;
  dragged = null;
  if (!done) return;
  if (done.kind === "edge" && done.change) {
    commit("move", ...done.change);
    say(t(done.side === "first_frame" ? "startmoved" : "endmoved", { label: labelName(whatOf(done.segment)), from: done.segment[done.side], to: done.change[1][0][done.side] }));
  }
  if (done.kind === "mark") {
    if (done.moved) say(t("markedframes", { first: marked.first, last: marked.last }));
    else { marked = null; seek(frameUnder(event)); }
  }
  repaint();
});
timeline.addEventListener("pointercancel", () => { dragged = null; repaint(); });
timeline.addEventListener("pointerleave", () => { hovered = null; $("hint").hidden = true; repaint(); });
timeline.addEventListener("dblclick", (event) => {
  const row = rowUnder(event);
  const segment = row && (row.part ? eventUnder(event, row) : row.kind === "lane" && lanes().at(row.track.id, frameUnder(event)));
  if (segment) zoomTo(segment);
});

timeline.addEventListener("wheel", (event) => {
  // Over the names the wheel moves the page, so that many signers can be reached.
  if (xIn(event) < LEFT) return;
  event.preventDefault();
  const width = timeline.clientWidth - LEFT;
  const sideways = event.shiftKey ? event.deltaY || event.deltaX : Math.abs(event.deltaX) > Math.abs(event.deltaY) ? event.deltaX : 0;
  if (sideways) pan((sideways / width) * (view[1] - view[0]));
  else zoom(event.deltaY > 0 ? 1.25 : 0.8, timeOf(Math.max(LEFT, xIn(event)), timeline.clientWidth));
}, { passive: false });

function overviewTo(event) {
  const share = clamp((xIn(event) - LEFT) / (timeline.clientWidth - LEFT), 0, 1);
  pan(startS + share * (endS - startS) - (view[0] + view[1]) / 2);
}

/** What lies under the cursor, in words beside it. */
function hint(event, row) {
  const node = $("hint");
  node.hidden = hovered === null || !row;
  if (node.hidden) return;
  const lines = [`${clock(times[hovered])} \u00b7 ${t("frame")} ${hovered}`];
  if (row.track) {
    const segment = lanes().at(row.track.id, hovered);
    if (segment) lines.push(`${signerName(row.track)}: ${labelName(segment.label)}${segment.unsure ? " ?" : ""}`);
    else if (layer !== "blind") { const status = seenAs(row.track, hovered).status(hovered); lines.push(`${signerName(row.track)}: ${t(status === null ? "nosigner" : status === STATUS_OK ? "nolabel" : data.statuses[status])}`); }
    if (segment && segment.comment) lines.push(segment.comment);
    if (row.kind === "events") for (const found of lanes().ofPart(row.track.id, row.part, hovered, hovered)) lines.push(`${t(found.event)}: ${t("frame")} ${found.first_frame}\u2013${found.last_frame}${found.comment ? ` \u2013 ${found.comment}` : ""}`);
  }
  if (row.kind === "human") { const found = row.tier.annotations.find(([from, to]) => from / 1000 <= times[hovered] && times[hovered] < to / 1000); if (found) lines.push(`${row.tier.name}: ${found[2]}`); }
  node.replaceChildren(...lines.map((line) => make("div", { textContent: line })));
  node.style.left = `${clamp(event.clientX + 14, 0, innerWidth - 220)}px`;
  node.style.top = `${event.clientY - 16 - 18 * lines.length}px`;
}
