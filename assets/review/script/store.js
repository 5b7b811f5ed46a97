// Keeping work: in the browser as it is done, in a file when it is saved. Both hold the same operations.

const PREFIX = "annotate-review/2:";
const STORE = PREFIX + data.fingerprint;
const SETTINGS = "annotate-review/settings";

/** Whether the browser keeps anything; some forbid it to pages from files, some are full. */
let keeps = true;

function stored(key) {
  try { return JSON.parse(localStorage.getItem(key)); } catch (error) {
    if (!(error instanceof SyntaxError)) { keeps = false; warn("store", t("nostore")); }
    return null;
  }
}

const store = (key, value) => storeText(key, JSON.stringify(value));

function storeText(key, text) {
  try {
    localStorage.setItem(key, text);
    if (!keeps) { keeps = true; warn("store", null); }
  } catch (error) {
    keeps = false;
    warn("store", t(error.name === "QuotaExceededError" ? "storefull" : "nostore"));
  }
}

const settings = { bindings: {}, curves: "probabilities", advance: false, reviewer: "", reviewed: "", ...stored(SETTINGS) };
const keepSettings = () => store(SETTINGS, settings);

function keepWork() {
  const all = Object.values(works).flatMap(({ log }) => log);
  const everything = all.length === exported.size && all.every(({ id }) => exported.has(id));
  const rest = JSON.stringify({
    common: COMMON, media: data.media.name, media_sha256: data.media.sha256, labels: data.labels, exported: everything ? "all" : [...exported],
    history: { review: historyOf(works.review), blind: historyOf(works.blind) },
    done: doneCount(), all: layers.review.size, reviewer: settings.reviewer, time: new Date().toISOString(),
  });
  const [review, blind] = [works.review, works.blind].map(({ log }) => log.map(textOf).join(","));
  storeText(STORE, `{"review":[${review}],"blind":[${blind}],${rest.slice(1)}`);
}

/** An operation as it is kept. Operations never change, and there are thousands: each is put into words once. */
const texts = new WeakMap();
function textOf(operation) {
  if (!texts.has(operation)) texts.set(operation, JSON.stringify(shortened(operation)));
  return texts.get(operation);
}

/** An operation without what stands in `COMMON` too; and back. The browser's storage is small. */
function shortened(operation) {
  const short = { ...operation };
  for (const field of Object.keys(COMMON)) if (short[field] === COMMON[field]) delete short[field];
  return short;
}
function lengthened(short, common = COMMON) {
  if (!short || typeof short !== "object") return null;
  const { schema, id, kind, layer, labels, media, media_sha256, model_sha256, ...rest } = { ...common, ...short };
  return { schema, id, kind, layer, labels, media, media_sha256, model_sha256, ...rest };
}

/** What can be undone, by ids (null: all of the log), and what can be done again, which need not be in the log. */
const historyOf = ({ log, undoable, redoable }) => ({
  undoable: undoable.length === log.length ? null : undoable.map(({ id }) => id),
  redoable: redoable.map(({ operation, reverse }) => ({ operation: shortened(operation), reverse: reverse && reverse.id })),
});

function loadWork() {
  const kept = stored(STORE);
  if (kept) {
    for (const name of Object.keys(works)) {
      for (const operation of list(kept[name])) take(name, lengthened(operation));
      loadHistory(works[name], kept.history && kept.history[name]);
    }
    exported = new Set(kept.exported === "all" ? Object.values(works).flatMap(({ log }) => log.map(({ id }) => id)) : list(kept.exported));
  }
  offerOld();
}

const list = (value) => (Array.isArray(value) ? value : []);

function loadHistory(work, history) {
  if (!history) return;
  const byId = new Map(work.log.map((operation) => [operation.id, operation]));
  if (Array.isArray(history.undoable)) work.undoable = history.undoable.map((id) => byId.get(id)).filter(Boolean);
  const entries = list(history.redoable).map((entry) => entry && { operation: lengthened(entry.operation), reverse: byId.get(entry.reverse) || null });
  work.redoable = entries.filter((entry) => entry && isOperation(entry.operation));
}

/** Puts a known operation into a layer if it fits there. */
function take(name, operation) {
  if (!isOperation(operation) || operation.layer !== name || !fits(operation)) return false;
  put(operation);
  works[name].log.push(operation);
  works[name].undoable.push(operation);
  return true;
}

/** Whether a value has an operation's shape; what comes from files and storage is not taken on trust. */
function isOperation(value) {
  const isFrame = (n) => Number.isInteger(n) && n >= 0;
  const isTrack = (n) => Number.isInteger(n) && n > 0 && n < 2 ** 32;
  const isSegment = (s) => s && typeof s.segment === "string" && isTrack(s.track) && isFrame(s.first_frame) && isFrame(s.last_frame)
    && (s.label === null || CLASSES.includes(s.label)) && [undefined, null, ...KINDS].includes(s.event) && [undefined, null, ...Object.keys(MARKS)].includes(s.review)
    && ["string", "undefined"].includes(typeof s.comment) && ["boolean", "undefined"].includes(typeof s.unsure);
  const isState = (state) => state === null || (Boolean(state) && (state.name === null || typeof state.name === "string") && (state.into === null || isTrack(state.into)));
  const isSigner = (s) => s && isTrack(s.track) && [s.old, s.now].every(isState) && (s.old !== null || s.now !== null);
  return Boolean(value) && value.schema === "annotate/correction/2" && typeof value.id === "string" && Boolean(layers[value.layer])
    && typeof value.kind === "string" && typeof value.time === "string" && [value.before, value.after].every((list) => Array.isArray(list) && list.every(isSegment))
    && list(value.signers) === value.signers && value.signers.every(isSigner);
}

const isKnown = (operation) => data.applied.includes(operation.id) || works[operation.layer].log.some((o) => o.id === operation.id);

/** Work on other labels of the same video that the browser still has: what fits can be taken over. */
function offerOld() {
  const old = [];
  try {
    for (let k = 0; k < localStorage.length; k++) {
      const key = localStorage.key(k);
      if (!key.startsWith(PREFIX) || key === STORE) continue;
      const kept = stored(key);
      const isSame = kept && (data.media.sha256 ? kept.media_sha256 === data.media.sha256 : kept.media === data.media.name);
      const theirs = isSame ? list(kept.review).map((o) => lengthened(o, kept.common)) : [];
      old.push(...theirs.filter((o) => isOperation(o) && !isKnown(o)));
    }
  } catch { return; }
  const fresh = old.filter((o) => !(settings.declined || []).includes(o.id));
  if (!fresh.length) return;
  const decline = () => { settings.declined = [...(settings.declined || []), ...fresh.map((o) => o.id)].slice(-5000); keepSettings(); warn("old", null); };
  warn("old", t("oldwork", { count: fresh.length }), button(t("takeover"), () => {
    const taken = fresh.filter((operation) => take("review", operation)).length;
    decline();
    changed();
    say(t("takenover", { taken, left: fresh.length - taken }));
  }), button(t("leave"), decline));
}

// --- files ------------------------------------------------------------------------------------------------------------

const unsaved = () => Object.values(works).some(({ log }) => log.some((o) => !exported.has(o.id)));

const fileText = () => work().log.map((o) => JSON.stringify(o) + "\n").join("");

function save() {
  const who = settings.reviewer.replace(/[^\p{L}\p{N}_-]+/gu, "_");
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([fileText()], { type: "application/x-ndjson" }));
  link.download = [data.media.name, who, layer === "blind" ? "blind" : "corrections", "jsonl"].filter(Boolean).join(".");
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  for (const { id } of work().log) exported.add(id);
  keepWork();
  repaint();
  say(t("saved", { name: link.download, count: work().log.length }));
}

/** The same page in another tab keeps its work in the same place. */
addEventListener("storage", (event) => { if (event.key === STORE) warn("tab", t("othertab")); });

addEventListener("beforeunload", (event) => { if (unsaved()) event.preventDefault(); });

/** Takes the operations of a saved file; refuses all of it where a line is not what it should be. */
function readFile(text, name) {
  const operations = [];
  const refuse = (line, reason) => warn("file", t("badline", { name, line, reason }), button(t("close"), () => warn("file", null)));
  for (const [k, content] of text.split("\n").entries()) {
    if (!content.trim()) continue;
    let operation;
    try { operation = JSON.parse(content); } catch { return refuse(k + 1, t("cutline")); }
    if (operation && operation.media_sha256 && data.media.sha256 && operation.media_sha256 !== data.media.sha256) return refuse(k + 1, t("othervideo"));
    if (operation && operation.schema === "annotate/correction/1") operation = ofFirstSchema(operation);
    // The program leaves out what is empty.
    else if (operation && operation.signers === undefined) operation.signers = [];
    if (!isOperation(operation)) return refuse(k + 1, t("nooperation"));
    operations.push([k + 1, operation]);
  }
  let taken = 0, known = 0;
  const left = [];
  for (const [line, operation] of operations) {
    const isSame = !isKnown(operation) && operation.after.length > 0
      && operation.after.every((s) => { const there = layers[operation.layer].byId.get(s.segment); return there && same(there, whole(s)); });
    if (isKnown(operation) || isSame) known++;
    else if (take(operation.layer, operation)) { exported.add(operation.id); taken++; }
    else left.push(line);
  }
  const shown = left.slice(0, 10).join(", ") + (left.length > 10 ? ", \u2026" : "");
  warn("file", left.length ? t("leftlines", { name, lines: shown }) : null, button(t("close"), () => warn("file", null)));
  changed();
  say(t("opened", { name, taken, known, left: left.length }));
}

/** A correction of the first schema as an operation. */
function ofFirstSchema(old) {
  const there = Number.isInteger(old.track) && layers.review.at(old.track, old.first_frame);
  if (!there || there.first_frame !== old.first_frame || there.last_frame !== old.last_frame) return null;
  const review = old.new === null ? "rejected" : old.new === old.old ? "accepted" : "changed";
  return {
    ...stamped({ kind: "label", layer: "review", before: [brief({ ...there, label: old.old })], after: [brief({ ...there, label: old.new, review })], signers: [] }),
    reviewer: String(old.reviewer || ""), time: String(old.time || ""),
  };
}

async function openFile(file) {
  if (!file) return;
  if (file.size > 256 << 20) return say(t("toolarge"));
  readFile(await file.text(), file.name);
}
addEventListener("dragover", (event) => event.preventDefault());
addEventListener("drop", (event) => { event.preventDefault(); openFile(event.dataTransfer.files[0]); });
