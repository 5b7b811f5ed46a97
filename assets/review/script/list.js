// The list of segments: filtered, sorted, and only the rows in sight are in the page.

const ROW = 24;
let listed = [];

const isOpen = (s) => !s.review;
const REVIEWED = { all: () => true, open: isOpen, done: (s) => !isOpen(s), unsure: (s) => s.unsure, commented: (s) => s.comment !== "" };
const uncertainty = (s) => { const sure = confidenceOf(s); return sure === null ? -1 : 1 - sure; };
const lengthOf = (s) => endOf(s.last_frame) - times[s.first_frame];
const ORDERS = {
  time: (a, b) => a.first_frame - b.first_frame || a.track - b.track,
  uncertain: (a, b) => b.uncertainty - a.uncertainty,
  longest: (a, b) => lengthOf(b.segment) - lengthOf(a.segment),
  shortest: (a, b) => lengthOf(a.segment) - lengthOf(b.segment),
};

function fillSelect(id, options) {
  const node = $(id);
  const kept = node.value;
  node.replaceChildren(...options.map(([value, text]) => make("option", { value, textContent: text })));
  if (options.some(([value]) => String(value) === kept)) node.value = kept;
}

let filtersFor = "";
function fillFilters() {
  const key = [language, layer, ...signers().map(signerName)].join("|");
  if (key === filtersFor) return;
  filtersFor = key;
  fillSelect("bylabel", [["", t("alllabels")], ...CLASSES.map((c) => [c, t(c)]), ["null", t("notaface")]]);
  fillSelect("bysigner", [["", t("allsigners")], ...signers().map((track) => [track.id, signerName(track)])]);
  fillSelect("bysure", [["1", t("anyconfidence")], ...[0.9, 0.75, 0.6, 0.5].map((v) => [v, `${t("below")} ${Math.round(100 * v)} %`])]);
  fillSelect("byreview", Object.keys(REVIEWED).map((k) => [k, t(`list_${k}`)]));
  fillSelect("order", Object.keys(ORDERS).map((k) => [k, t(`order_${k}`)]));
}

/** Filters and sorts anew; needed when segments or filters change, not when the frame does. */
function refreshList() {
  const [name, who, sure, review, text] = ["bylabel", "bysigner", "bysure", "byreview", "bytext"].map((id) => $(id).value);
  const words = text.trim().toLowerCase();
  const order = $("order").value || "time";
  let list = lanes().all().filter((s) => trackOf(s.track).into === null
    && (!name || String(s.label) === name) && (!who || s.track === Number(who)) && (REVIEWED[review] || REVIEWED.all)(s)
    && (!words || `${labelName(s.label)} ${s.comment}`.toLowerCase().includes(words)));
  if (sure && Number(sure) < 1) list = list.filter((s) => { const c = confidenceOf(s); return c !== null && c < Number(sure); });
  if (order === "time") listed = list.sort(ORDERS.time);
  else {
    const weighed = list.map((segment) => ({ segment, uncertainty: order === "uncertain" ? uncertainty(segment) : 0 }));
    listed = weighed.sort(ORDERS[order]).map(({ segment }) => segment);
  }
  $("count").textContent = t("count", { shown: listed.length, all: lanes().size });
  $("spacer").style.height = `${listed.length * ROW}px`;
  paintedRows = "";
}

let paintedRows = "";
let lastHere = null;
function paintList() {
  const box = $("list");
  const here = current();
  // The segment at the play head stays in sight while somebody steps or plays.
  if (here && (!lastHere || here.segment !== lastHere)) {
    const place = listed.indexOf(here);
    if (place >= 0 && (place * ROW < box.scrollTop || (place + 1) * ROW > box.scrollTop + box.clientHeight)) box.scrollTop = place * ROW - box.clientHeight / 2;
  }
  lastHere = here && here.segment;
  const first = Math.max(0, Math.floor(box.scrollTop / ROW) - 2);
  const last = Math.min(listed.length, Math.ceil((box.scrollTop + box.clientHeight) / ROW) + 2);
  const key = [version, first, last, lastHere, language, layer, listed.length, $("order").value].join("|");
  if (key === paintedRows) return;
  paintedRows = key;
  $("rows").style.transform = `translateY(${first * ROW}px)`;
  $("rows").replaceChildren(...listed.slice(first, last).map((s, k) => listRow(s, first + k, s === here)));
  if (here && listed.includes(here)) box.setAttribute("aria-activedescendant", `row-${here.segment}`); else box.removeAttribute("aria-activedescendant");
}

const MARKS = { accepted: "\u2713", changed: "\u270e", rejected: "\u2717", drawn: "+", moved: "\u2194" };

function listRow(segment, place, isHere) {
  const chip = make("i");
  chip.style.background = colourOf(segment.label);
  const sure = layer === "blind" ? null : confidenceOf(segment);
  const track = trackOf(segment.track);
  const node = make("div", { id: `row-${segment.segment}`, className: "row" },
    make("span", { className: "time", textContent: clock(times[segment.first_frame]).slice(0, -1) }), make("span", { className: "who", textContent: track.name || track.letter }),
    chip, make("span", { className: "name", textContent: labelName(segment.label) + (segment.comment ? ` \u2013 ${segment.comment}` : "") }),
    make("span", { className: "sure", textContent: `${segment.unsure ? "?" : ""}${segment.review ? MARKS[segment.review] || "\u2713" : sure === null ? "" : `${Math.round(100 * sure)} %`}` }));
  node.setAttribute("role", "option");
  node.setAttribute("aria-selected", isHere);
  node.setAttribute("aria-setsize", listed.length);
  node.setAttribute("aria-posinset", place + 1);
  node.addEventListener("click", () => goToSegment(segment));
  return node;
}

function goToSegment(segment) {
  signer = trackOf(segment.track);
  setPart(null);
  seek(segment.first_frame);
}

/** The next or last segment of the list as it is filtered and sorted. */
function alongList(direction) {
  if (!listed.length) return say(t("emptylist"));
  const place = listed.indexOf(current());
  const next = place < 0 ? (direction > 0 ? 0 : listed.length - 1) : place + direction;
  if (listed[next]) goToSegment(listed[next]); else say(t("endoflist"));
}

/** After a decision: on to the next segment of the list that nobody has reviewed, where that is wanted. */
function advance() {
  if (!settings.advance || layer === "blind") return;
  const place = listed.findIndex((s) => s.first_frame > frame || (s.first_frame === frame && s.track > signer.id));
  const open = listed.slice(Math.max(0, place)).find(isOpen) || listed.find(isOpen);
  if (open) goToSegment(open);
}

/** Where a person's look is worth most: unsure and long. */
function nextUnsure() {
  const here = current();
  let best = null, most = -1;
  for (const segment of listed) {
    if (segment.review || segment === here) continue;
    const worth = uncertainty(segment) * lengthOf(segment);
    if (worth > most) [best, most] = [segment, worth];
  }
  if (best) goToSegment(best); else say(t("alldone"));
}
