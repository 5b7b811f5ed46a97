// What stands beside the picture: the segment at the play head, its labels, progress.

let isPainting = false;
/** Draws all that depends on the frame, once before the next picture of the screen. */
function repaint() {
  document.documentElement.dataset.frame = frame;
  if (isPainting) return;
  isPainting = true;
  requestAnimationFrame(() => { isPainting = false; paint(); });
}

function paint() {
  drawPicture();
  drawPanel();
  drawAxis();
  paintList();
  if (!$("strip").hidden && video.paused && stripFrame !== `${frame}|${signer && signer.id}`) { stripFrame = `${frame}|${signer && signer.id}`; drawStrip(); }
}
let stripFrame = "";

/** After every change of segments or signers. */
function changed() {
  version++;
  if (signer && signer.into !== null) signer = trackOf(signer.into);
  if (!tracks.includes(signer)) signer = signers()[0] || null;
  keepWork();
  fillFilters();
  refreshList();
  drawProgress();
  repaint();
}

function choose(track) {
  signer = track;
  repaint();
}

function nextSigner() {
  const list = signers();
  if (list.length > 1) choose(list[(list.indexOf(signer) + 1) % list.length]);
  say(signer ? signerName(signer) : t("nobody"));
}

// --- the segment here -------------------------------------------------------------------------------------------------

/** One row a label: its key, its name, the program's probability; a press gives the segment that label. While events are worked on,
    one row a kind. */
const labelRows = [];

function buildLabels() {
  labelRows.length = 0;
  const rows = [...(part ? KIND_ACTIONS.slice(0, PARTS[part].length) : CLASSES), null].map((action, k) => {
    const name = part && action !== null ? PARTS[part][k] : action;
    const fill = make("i");
    if (name !== null) fill.style.background = colourOf(name);
    const row = {
      name, fill, number: make("span", { className: "number" }),
      node: make("button", { type: "button", className: "label" }, make("kbd", { textContent: shownKey(action === null ? "notaface" : action) }),
        make("span", { className: "name", textContent: part && name === null ? t("delete") : labelName(name) }), make("span", { className: "bar", hidden: Boolean(part) }, fill)),
    };
    row.node.append(row.number);
    row.node.addEventListener("click", () => label(action));
    labelRows.push(row);
    return row.node;
  });
  $("labels").replaceChildren(...rows);
}

function drawPanel() {
  const segment = current();
  $("who").textContent = signer ? signerName(signer) : t("nobody");
  $("clock").textContent = times.length ? `${clock(times[frame])} \u00b7 ${t("frame")} ${frame}` : "";
  const [why, how] = segment ? [] : whyNone();
  $("state").textContent = segment ? describe(segment) : why;
  $("did").textContent = segment ? (layer === "blind" || segment.event ? "" : didIn(segment)) : how;
  const p = layer === "blind" || part || !signer ? null : seenAs(signer, frame).p(frame);
  for (const [k, row] of labelRows.entries()) {
    const value = p && k < CLASSES.length ? p[k] : 0;
    row.fill.style.width = `${100 * value}%`;
    row.number.textContent = p && k < CLASSES.length ? `${Math.round(100 * value)} %` : "";
    row.node.setAttribute("aria-pressed", Boolean(segment) && whatOf(segment) === row.name);
  }
  const comment = $("comment");
  if (document.activeElement !== comment) comment.value = segment ? segment.comment : "";
  comment.disabled = !segment;
  $("unsure").setAttribute("aria-pressed", Boolean(segment && segment.unsure));
}

function describe(segment) {
  const parts = [`${labelName(whatOf(segment))} ${times[segment.first_frame].toFixed(2)}\u2013${endOf(segment.last_frame).toFixed(2)} s`];
  if (segment.review) parts.push(t(segment.review));
  else { const sure = confidenceOf(segment); if (sure !== null && layer !== "blind") parts.push(`${t("confidence")} ${Math.round(100 * sure)} %`); }
  if (segment.unsure) parts.push(t("unsure"));
  return parts.join(" \u00b7 ");
}

function paintButtons() {
  const isPlaying = !video.paused || rewind > 0;
  $("play").textContent = isPlaying ? "\u23f8" : "\u25b6";
  $("play").setAttribute("aria-label", t(isPlaying ? "pause" : "play"));
}

// --- progress ---------------------------------------------------------------------------------------------------------

const doneCount = () => layers.review.all().filter((s) => s.review).length;

/** Seconds a person takes for an edit: the median of the last 200, pauses of more than two minutes apart. */
function pace() {
  const stamps = works.review.log.slice(-200).map((o) => Date.parse(o.time) / 1000);
  const gaps = stamps.slice(1).map((time, k) => time - stamps[k]).filter((gap) => gap < 120).sort((a, b) => a - b);
  return gaps.length ? gaps[gaps.length >> 1] : 5;
}

function drawProgress() {
  if (layer === "blind") return void ($("progress").textContent = blindProgress());
  const [done, all] = [doneCount(), layers.review.size];
  $("progress").textContent = t("progress", { done, all, minutes: Math.ceil(((all - done) * pace()) / 60) });
  $("save").classList.toggle("wanted", unsaved());
}

// --- signers ----------------------------------------------------------------------------------------------------------

function openSigners() {
  const list = signers().map((track) => {
    const name = make("input", { value: track.name || "", maxLength: 60, placeholder: `${t("signer")} ${track.letter}`, autocomplete: "off" });
    name.setAttribute("aria-label", t("nameof", { signer: `${t("signer")} ${track.letter}` }));
    name.addEventListener("change", () => rename(track, name.value));
    const others = make("select", {}, make("option", { value: "", textContent: t("joinwith") }),
      ...signers().filter((other) => other !== track).map((other) => make("option", { value: other.id, textContent: signerName(other) })));
    others.setAttribute("aria-label", `${signerName(track)}: ${t("joinwith")}`);
    others.addEventListener("change", () => { if (others.value) { join(track, trackOf(Number(others.value))); openSigners(); } });
    const out = isIdle(track) ? [button(t("removesigner"), () => { removeSigner(track); openSigners(); })] : [];
    return make("tr", {}, make("th", { scope: "row", textContent: track.letter }), make("td", {}, name), make("td", {}, others), make("td", {}, ...out));
  });
  $("signerlist").replaceChildren(...list);
  openDialog("signers");
}

function openDialog(id) {
  stop();
  if (!$(id).open) $(id).showModal();
}

// --- summary, also for print ------------------------------------------------------------------------------------------

function summarise() {
  const cell = (tag, text) => make(tag, { textContent: text });
  const body = signers().map((track) => {
    const own = layers.review.of(track.id);
    const total = (name) => own.filter((s) => s.label === name).reduce((sum, s) => sum + (endOf(s.last_frame) - times[s.first_frame]), 0);
    return make("tr", {}, make("th", { scope: "row", textContent: signerName(track) }), ...CLASSES.map((c) => cell("td", total(c).toFixed(2))));
  });
  const head = make("tr", {}, cell("th", t("totals")), ...CLASSES.map((c) => make("th", { scope: "col", textContent: t(c) })));
  const faces = data.counts.map((counts) => {
    const seen = Object.entries(counts.events).filter(([kind, { count }]) => count > 0 || kind === "blink");
    const told = seen.map(([kind, { per_minute, share }]) => (kind === "blink" ? `${t(kind)} ${per_minute.toFixed(1)} ${t("perminute")}` : `${t(kind)} ${Math.round(100 * share)} %`));
    const doubtful = Object.entries(counts.nothing_but).map(([label, { kind, segments, of }]) => t("nothingbut", { label: labelName(label), kind: t(kind), segments, of }));
    return cell("p", `${counts.signer}: ${[...told, ...doubtful].join(", ")}`);
  });
  const origin = `${data.tool} \u00b7 ${data.model.name} \u00b7 ${data.model.sha256.slice(0, 12)} \u00b7 ${data.media.path}`;
  $("summarybody").replaceChildren(make("table", {}, make("thead", {}, head), make("tbody", {}, ...body)), ...faces, cell("p", origin), cell("p", t("caveat")));
}
