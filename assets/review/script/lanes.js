// Segments, and every way to change them. A change is an operation: the segments it finds and the segments it leaves. So an
// operation can be undone, kept, sent to another machine, and compared with what is there before it is applied.

/**
 * A segment: { segment (its id), track, first_frame, last_frame, label (null: not a face), event (the kind, of an event of the face,
 * which has no label; else null), review (null: not reviewed), comment, unsure }. Never changed in place. A signer has a lane for
 * the expressions and one for each kind of event; what lies in a lane does not overlap.
 */
class Lanes {
  constructor() { this.byId = new Map(); this.byLane = new Map(); }

  of(track, event = null) {
    const key = event === null ? track : `${track}|${event}`;
    if (!this.byLane.has(key)) this.byLane.set(key, []);
    return this.byLane.get(key);
  }

  /** Events of a part of the face that touch the frames from first to last, in order of their beginning. */
  ofPart(track, part, first = 0, last = lastFrame) {
    return PARTS[part].flatMap((kind) => this.within(track, first, last, kind)).sort((a, b) => a.first_frame - b.first_frame);
  }

  /** Place of the first segment of a lane that ends at or after a frame. */
  placeFrom(lane, frame) {
    let low = 0, high = lane.length;
    while (low < high) { const middle = (low + high) >> 1; if (lane[middle].last_frame < frame) low = middle + 1; else high = middle; }
    return low;
  }

  /** The segment at a frame, or null. */
  at(track, frame, event = null) {
    const lane = this.of(track, event);
    const found = lane[this.placeFrom(lane, frame)];
    return found && found.first_frame <= frame ? found : null;
  }

  /** Segments that touch the frames from first to last. */
  within(track, first, last, event = null) {
    const lane = this.of(track, event);
    const found = [];
    for (let k = this.placeFrom(lane, first); k < lane.length && lane[k].first_frame <= last; k++) found.push(lane[k]);
    return found;
  }

  add(segment) {
    const lane = this.of(segment.track, segment.event);
    lane.splice(this.placeFrom(lane, segment.first_frame), 0, segment);
    this.byId.set(segment.segment, segment);
  }

  remove(id) {
    const segment = this.byId.get(id);
    const lane = this.of(segment.track, segment.event);
    lane.splice(lane.indexOf(segment), 1);
    this.byId.delete(id);
  }

  get size() { return this.all().length; }
  /** The expressions' segments; events are looked at beside them. */
  all() { return [...this.byId.values()].filter((s) => s.event === null); }
}

/** The labels under review, and those that somebody makes without seeing them. */
const layers = { review: new Lanes(), blind: new Lanes() };
let layer = "review";
const lanes = () => layers[layer];

/** Mean probabilities of the program's segments; a segment that somebody decided has none. */
const machineConfidence = new Map();

function fillLanes() {
  for (const raw of data.tracks) {
    for (const { confidence, ...given } of raw.segments) {
      layers.review.add({ track: raw.id, event: null, review: null, comment: "", unsure: false, ...given });
      if (confidence !== null && confidence !== undefined) machineConfidence.set(given.segment, { ...given, confidence });
    }
    for (const given of raw.events) layers.review.add({ track: raw.id, review: null, comment: "", unsure: false, ...given });
  }
}

/** How sure the program is of a segment, 0 to 1; null where a person decided. */
function confidenceOf(segment) {
  if (segment.review || segment.event !== null) return null;
  const known = machineConfidence.get(segment.segment);
  const same = known && ["first_frame", "last_frame", "label"].every((field) => known[field] === segment[field]);
  if (same) return known.confidence;
  const track = trackOf(segment.track);
  const column = track.probabilities[CLASSES.indexOf(segment.label)];
  let sum = 0, read = 0;
  for (let frame = segment.first_frame; frame <= segment.last_frame; frame++) {
    if (track.status(frame) === STATUS_OK) { sum += column[track.place(frame)]; read++; }
  }
  return read ? sum / read / 255 : null;
}

// --- operations -------------------------------------------------------------------------------------------------------

/** Of each layer: what was done and stands, in order; what can be undone; what can be done again. */
const works = {};
for (const name of Object.keys(layers)) works[name] = { log: [], undoable: [], redoable: [] };
const work = () => works[layer];
/** Ids of operations that somebody has a file with. */
let exported = new Set();
/** Counts changes; whatever is drawn from segments is drawn anew when it has changed. */
let version = 0;

const newId = () => Array.from(crypto.getRandomValues(new Uint8Array(9)), (b) => (b % 36).toString(36)).join("");

const FIELDS = ["segment", "track", "first_frame", "last_frame", "label", "event", "review", "comment", "unsure"];
const same = (a, b) => FIELDS.every((field) => a[field] === b[field]);

/** Whether an operation finds what it wants to change, and leaves lanes without overlap. */
function fits({ before, after, signers: changes, layer: name }, among = layers[name]) {
  const leaves = new Set(before.map((s) => s.segment));
  const isThere = (wanted) => { const found = among.byId.get(wanted.segment); return found && same(found, whole(wanted)); };
  const isFree = (wanted) => among.within(wanted.track, wanted.first_frame, wanted.last_frame, wanted.event ?? null).every((s) => leaves.has(s.segment))
    && (leaves.has(wanted.segment) || !among.byId.has(wanted.segment));
  return leaves.size === before.length && before.every(isThere) && after.every(isSound) && after.every(isFree) && !overlap(after)
    && changes.every((change) => signerFits(change, leaves));
}

/** Whether a segment lies in the video, and has a label or a kind of event, not both. */
const isSound = (s) => 0 <= s.first_frame && s.first_frame <= s.last_frame && s.last_frame <= lastFrame && (s.label === null || !s.event);

/** Whether segments share an id or frames of a lane. */
function overlap(segments) {
  const laneOf = (s) => `${s.track}|${s.event ?? ""}`;
  const sorted = [...segments].sort((a, b) => a.track - b.track || laneOf(a).localeCompare(laneOf(b)) || a.first_frame - b.first_frame);
  return new Set(segments.map((s) => s.segment)).size < segments.length
    || sorted.some((s, k) => k > 0 && laneOf(sorted[k - 1]) === laneOf(s) && sorted[k - 1].last_frame >= s.first_frame);
}

/** Whether a signer is as a change expects, and can become what it says; `leaves` are ids of segments that go with it. */
function signerFits({ track: id, old, now }, leaves) {
  const found = trackOf(id);
  const isExpected = old === null ? !found : Boolean(found) && found.name === old.name && found.into === old.into;
  if (!isExpected || now !== null) return isExpected && (now.into === null || (now.into !== id && Boolean(trackOf(now.into))));
  return found.isAdded && segmentsOf(id).every((s) => leaves.has(s.segment)) && tracks.every((other) => other.into !== id);
}

/** Everything that stands in a signer's lanes, seen or made blind. */
const segmentsOf = (id) => Object.values(layers).flatMap((among) => [null, ...KINDS].flatMap((kind) => among.of(id, kind)));

/** A segment as it stands in an operation, where what is usual is left out; and back. */
const brief = ({ segment, track, first_frame, last_frame, label, event, review, comment, unsure }) => ({
  segment, track, first_frame, last_frame, label, ...(event && { event }),
  ...(review && { review }), ...(comment && { comment }), ...(unsure && { unsure }),
});
const whole = (segment) => ({ event: null, review: null, comment: "", unsure: false, ...segment });

function put({ layer, before, after, signers }) {
  for (const { segment } of before) layers[layer].remove(segment);
  for (const { track, now } of signers) {
    if (now === null) tracks.splice(tracks.indexOf(trackOf(track)), 1);
    else Object.assign(trackOf(track) || addTrack(track), now);
  }
  for (const segment of after) {
    if (!trackOf(segment.track)) addTrack(segment.track);
    layers[layer].add(whole(segment));
  }
}

const turned = (operation) => ({
  ...operation, before: operation.after, after: operation.before,
  signers: operation.signers.map(({ track, old, now }) => ({ track, old: now, now: old })),
});

/** What the operations of this page have in common. */
const COMMON = {
  schema: "annotate/correction/2", labels: data.fingerprint, media: data.media.name, media_sha256: data.media.sha256 || null, model_sha256: data.model.sha256,
};

function stamped({ kind, layer, before, after, signers }) {
  const { schema, ...rest } = COMMON;
  return { schema, id: newId(), kind, layer, ...rest, reviewer: $("reviewer").value.trim(), time: new Date().toISOString(), before, after, signers };
}

/** Does an operation and keeps it. */
function commit(kind, before, after, signers = []) {
  const operation = stamped({ kind, layer, before: before.map(brief), after: after.map(brief), signers });
  put(operation);
  work().log.push(operation);
  work().undoable.push(operation);
  work().redoable = [];
  changed();
}

/** Whether the log ends with an operation that nobody has a file with, so that it can just be taken off. */
function endsWith(operation) {
  const last = work().log.at(-1);
  return Boolean(last) && last.id === operation.id && !exported.has(last.id);
}

/** Takes the last operation back. Where it was saved, its reverse is an operation of its own: the file stays true. */
function undo() {
  const operation = work().undoable.at(-1);
  if (!operation || !fits(turned(operation))) return say(t(operation ? "nolongerfits" : "nothingtoundo"));
  work().undoable.pop();
  put(turned(operation));
  let reverse = null;
  if (endsWith(operation)) work().log.pop();
  else work().log.push(reverse = stamped({ ...turned(operation), kind: "undo" }));
  work().redoable.push({ operation, reverse });
  show(operation.before[0] || operation.after[0]);
  changed();
  say(t("undone", { what: t(`did_${operation.kind}`) }));
}

function redo() {
  const entry = work().redoable.at(-1);
  if (!entry || !fits(entry.operation)) return say(t(entry ? "nolongerfits" : "nothingtoredo"));
  work().redoable.pop();
  let { operation } = entry;
  put(operation);
  if (!entry.reverse) work().log.push(operation);
  else if (endsWith(entry.reverse)) work().log.pop();
  else work().log.push(operation = stamped(operation));
  work().undoable.push(operation);
  show(operation.after[0] || operation.before[0]);
  changed();
  say(t("redone", { what: t(`did_${operation.kind}`) }));
}

function show(segment) {
  if (!segment) return;
  const track = trackOf(segment.track);
  if (track && track.into === null) signer = track;
  if (frame < segment.first_frame || frame > segment.last_frame) seek(segment.first_frame);
}

// --- edits ------------------------------------------------------------------------------------------------------------

/** The part of the face whose events keys go to; null where they go to the expressions. */
let part = null;
/** Of events that go on at once, the one that was chosen last, by its id. */
let picked = null;

function setPart(to) {
  if (to === part) return;
  part = to;
  marked = null;
  buildLabels();
  repaint();
}

/** On to the events of the next part of the face that has a row, and from the last back to the expressions. */
function nextPart() {
  const list = [null, ...(signer ? partsOf(signer) : [])];
  setPart(list[(list.indexOf(part) + 1) % list.length]);
  say(part ? t("nowpart", { part: t(part) }) : t("nowexpressions"));
}

/** The signer's lane that keys go to: segments, or the events of the part, by time. */
const laneHere = () => (!signer ? [] : part ? lanes().ofPart(signer.id, part) : lanes().of(signer.id));

/** What gives an event the first, second, … kind of its part: the labels' keys, and one more, as a head can do eight things. */
const KIND_ACTIONS = [...CLASSES, "eighthkind"];

/** The kinds of the lane that keys go to; null stands for expressions. */
const kindsHere = () => (part ? PARTS[part] : [null]);

function current() {
  if (!signer) return null;
  if (!part) return lanes().at(signer.id, frame);
  const here = lanes().ofPart(signer.id, part, frame, frame);
  return here.find((s) => s.segment === picked) || here.at(-1) || null;
}

/** Frames marked for a new segment, { track, first, last }, or null. */
let marked = null;

/** Why there is no segment at the play head, and what to do about it. */
function whyNone() {
  if (!signer) return [t("nobody"), t("nobodyhow")];
  if (part) return [t("noevent", { signer: signerName(signer), part: t(part) }), t("noeventhow")];
  const status = signer.status(frame);
  const seen = status === null ? t("nosigner") : status === STATUS_OK ? t("nolabel") : t(data.statuses[status]);
  return [t("gap", { signer: signerName(signer), why: seen }), t("gaphow")];
}

/** The segment at the play head; says why where there is none. */
function needed() {
  const segment = current();
  if (!segment) say(whyNone().join(" "));
  return segment;
}

/** Gives the segment here another label, or fills the marked frames with it. */
function label(name) {
  if (part) return name === null ? erase() : labelEvent(PARTS[part][KIND_ACTIONS.indexOf(name)]);
  if (marked) return draw(name);
  const segment = needed();
  if (!segment) return;
  if (segment.label === name && segment.review) return say(t("alreadyso", { label: labelName(name) }));
  const review = name === null ? "rejected" : segment.label === name ? "accepted" : "changed";
  commit("label", [segment], [{ ...segment, label: name, review }]);
  say(`${labelName(segment.label)} \u2192 ${labelName(name)}: ${t(review)}`);
  advance();
}

function accept() {
  const segment = needed();
  if (segment && part) return labelEvent(segment.event);
  if (segment) label(segment.label);
}

/** Gives the event here another kind, or fills the marked frames with one of this kind; what lies there of the kind makes room. */
function labelEvent(kind) {
  if (!kind) return say(t("nokind", { part: t(part) }));
  if (marked) return draw(kind);
  const segment = needed();
  if (!segment) return;
  if (segment.event === kind && segment.review) return say(t("alreadyso", { label: t(kind) }));
  const { track, first_frame: first, last_frame: last } = segment;
  const there = lanes().within(track, first, last, kind).filter((s) => s !== segment);
  const review = segment.event === kind ? "accepted" : "changed";
  commit("label", [segment, ...there], [{ ...segment, event: kind, review }, ...carved(there, first, last)]);
  picked = segment.segment;
  say(`${t(segment.event)} \u2192 ${t(kind)}: ${t(review)}`);
}

/** What is left of segments when the frames from first to last are taken out. */
function carved(segments, first, last) {
  const left = [];
  for (const segment of segments) {
    const before = segment.first_frame < first;
    if (before) left.push({ ...segment, last_frame: first - 1 });
    if (segment.last_frame > last) left.push({ ...segment, segment: before ? newId() : segment.segment, first_frame: last + 1 });
  }
  return left;
}

/** A segment over the marked frames; what lay there makes room. */
function draw(name) {
  const { track, first, last } = marked;
  const event = part ? name : null;
  const there = lanes().within(track, first, last, event);
  const drawn = {
    segment: newId(), track, first_frame: first, last_frame: last, label: part ? null : name, event, review: name === null ? "rejected" : "drawn",
    comment: "", unsure: false,
  };
  marked = null;
  picked = drawn.segment;
  commit("draw", there, [...carved(there, first, last), drawn]);
  say(t("drewit", { label: labelName(name), first, last }));
}

/** Takes out the segment here, or what lies in the marked frames. */
function erase() {
  if (marked) {
    const { track, first, last } = marked;
    const there = kindsHere().flatMap((kind) => lanes().within(track, first, last, kind));
    marked = null;
    if (!there.length) { repaint(); return say(t("nothinghere")); }
    return commit("delete", there, carved(there, first, last));
  }
  const segment = needed();
  if (!segment) return;
  commit("delete", [segment], []);
  say(t("deleted", { label: labelName(whatOf(segment)) }));
}

/**
 * Moves an edge of a segment to a frame. The neighbour that touches it goes along; another one makes room, but keeps a frame.
 * Gives what would change as [before, after], or null where nothing would.
 */
function movedEdge(segment, side, to, alone = false) {
  const lane = lanes().of(segment.track, segment.event);
  const place = lane.indexOf(segment);
  const isStart = side === "first_frame";
  const neighbour = lane[isStart ? place - 1 : place + 1];
  to = isStart ? clamp(to, 0, segment.last_frame) : clamp(to, segment.first_frame, lastFrame);
  const before = [segment], after = [];
  if (neighbour) {
    to = isStart ? Math.max(to, neighbour.first_frame + 1) : Math.min(to, neighbour.last_frame - 1);
    const touches = isStart ? neighbour.last_frame === segment.first_frame - 1 : neighbour.first_frame === segment.last_frame + 1;
    const makesRoom = isStart ? neighbour.last_frame >= to : neighbour.first_frame <= to;
    if ((touches && !alone) || makesRoom) {
      before.push(neighbour);
      after.push(isStart ? { ...neighbour, last_frame: to - 1 } : { ...neighbour, first_frame: to + 1 });
    }
  }
  if (to === segment[side] || (isStart ? to > segment.last_frame : to < segment.first_frame)) return null;
  after.unshift({ ...segment, [side]: to, review: segment.review || "moved" });
  return [before, after];
}

function moveEdge(segment, side, to, alone) {
  const change = movedEdge(segment, side, to, alone);
  if (!change) return say(t("notmoved"));
  commit("move", ...change);
  say(t(side === "first_frame" ? "startmoved" : "endmoved", { label: labelName(whatOf(segment)), from: segment[side], to: change[1][0][side] }));
}

/** The segment here, or the next one, starts at this frame. */
function startHere(alone) {
  const segment = current() || laneHere().find((s) => s.first_frame >= frame);
  if (segment) moveEdge(segment, "first_frame", frame, alone); else say(t("nonext"));
}

/** The segment here, or the last one, ends with this frame. */
function endHere(alone) {
  const segment = current() || laneHere().filter((s) => s.last_frame < frame).at(-1);
  if (segment) moveEdge(segment, "last_frame", frame, alone); else say(t("nobefore"));
}

function split() {
  const segment = needed();
  if (!segment) return;
  if (segment.first_frame === frame) return say(t("nosplit"));
  commit("split", [segment], [{ ...segment, last_frame: frame - 1 }, { ...segment, segment: newId(), first_frame: frame }]);
  say(t("splitat", { frame }));
}

/** Makes one segment of this and its neighbour of the same label. */
function merge(direction) {
  const segment = needed();
  if (!segment) return;
  const lane = lanes().of(segment.track, segment.event);
  const neighbour = lane[lane.indexOf(segment) + direction];
  if (!neighbour) return say(t("noneighbour"));
  if (neighbour.label !== segment.label) return say(t("othermerge", { label: labelName(neighbour.label) }));
  const [one, other] = direction > 0 ? [segment, neighbour] : [neighbour, segment];
  const merged = {
    ...one, last_frame: other.last_frame, review: one.review || other.review, unsure: one.unsure || other.unsure,
    comment: [one.comment, other.comment].filter(Boolean).join(" "),
  };
  commit("merge", [one, other], [merged]);
  say(t("merged", { first: merged.first_frame, last: merged.last_frame }));
}

function remark(text) {
  const segment = current();
  if (!segment || segment.comment === text) return;
  commit("comment", [segment], [{ ...segment, comment: text }]);
  say(t("commented"));
}

function flag() {
  const segment = needed();
  if (!segment) return;
  commit("unsure", [segment], [{ ...segment, unsure: !segment.unsure }]);
  say(t(segment.unsure ? "nowsure" : "nowunsure"));
}

/** Sets one end of the marked frames to this frame. */
function mark(side) {
  if (!signer) return say(t("nobody"));
  const old = marked && marked.track === signer.id ? marked : { track: signer.id, first: frame, last: frame };
  const next = { ...old, [side]: frame };
  if (next.first > next.last) next[side === "first" ? "last" : "first"] = frame;
  marked = next;
  repaint();
  say(t("markedframes", { first: marked.first, last: marked.last }));
}

// --- signers ----------------------------------------------------------------------------------------------------------

const signerState = ({ name, into }) => ({ name, into });

function rename(track, name) {
  // A name is a name in every format: a tier's, a column's, a cue's.
  name = name.trim().replace(/[^\p{L}\p{N} ._()-]/gu, "_").slice(0, 60) || null;
  if (name === track.name) return;
  commit("rename", [], [], [{ track: track.id, old: signerState(track), now: { ...signerState(track), name } }]);
}

/** Adds a signer whom the program never saw, so that segments can be drawn for them. */
function addSigner() {
  const id = Math.max(0, ...tracks.map((track) => track.id)) + 1;
  commit("signer", [], [], [{ track: id, old: null, now: { name: null, into: null } }]);
  setPart(null);
  choose(trackOf(id));
  say(t("signeradded", { signer: signerName(signer) }));
}

/** Whether a signer can be taken out: somebody added them, and nothing is said of them. */
const isIdle = (track) => track.isAdded && !segmentsOf(track.id).length && tracks.every((other) => other.into !== track.id);

function removeSigner(track) {
  commit("signer", [], [], [{ track: track.id, old: signerState(track), now: null }]);
  say(t("signerremoved", { signer: signerName(track) }));
}

/** Makes one signer of two. Where both have a segment, the joined one's makes room. */
function join(from, into) {
  const moved = [null, ...KINDS].flatMap((kind) => lanes().of(from.id, kind));
  const after = [];
  for (const segment of moved) {
    let rest = [{ ...segment, track: into.id }];
    for (const there of lanes().within(into.id, segment.first_frame, segment.last_frame, segment.event)) {
      rest = rest.flatMap((s) => (s.last_frame < there.first_frame || s.first_frame > there.last_frame ? [s]
        : carved([s], there.first_frame, there.last_frame)));
    }
    after.push(...rest);
  }
  commit("join", moved, after, [{ track: from.id, old: signerState(from), now: { ...signerState(from), into: into.id } }]);
  signer = into;
  repaint();
}
