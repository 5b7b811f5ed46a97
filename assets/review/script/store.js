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

function store(key, value) {
  try {
    localStorage.setItem(key, JSON.stringify(value));
    if (!keeps) { keeps = true; warn("store", null); }
  } catch (error) {
    keeps = false;
    warn("store", t(error.name === "QuotaExceededError" ? "storefull" : "nostore"));
  }
}

const settings = { bindings: {}, curves: "probabilities", advance: false, reviewer: "", reviewed: "", ...stored(SETTINGS) };
const keepSettings = () => store(SETTINGS, settings);

function keepWork() {
  store(STORE, {
    media: data.media.name, media_sha256: data.media.sha256, labels: data.labels, review: works.review.log, blind: works.blind.log,
    exported: [...exported], done: doneCount(), all: layers.review.size, reviewer: settings.reviewer, time: new Date().toISOString(),
  });
}

function loadWork() {
  const kept = stored(STORE);
  if (kept) {
    exported = new Set(kept.exported);
    for (const name of Object.keys(works)) for (const operation of kept[name] || []) take(name, operation);
  }
  offerOld();
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
  const isSegment = (s) => s && typeof s.segment === "string" && Number.isInteger(s.track) && isFrame(s.first_frame) && isFrame(s.last_frame)
    && (s.label === null || CLASSES.includes(s.label)) && [undefined, null, ...KINDS].includes(s.event) && ["string", "undefined"].includes(typeof s.comment);
  const isSigner = (s) => s && Number.isInteger(s.track) && [s.old, s.now].every((state) => state && "name" in state && "into" in state);
  return Boolean(value) && value.schema === "annotate/correction/2" && typeof value.id === "string" && Boolean(layers[value.layer])
    && typeof value.kind === "string" && [value.before, value.after].every((list) => Array.isArray(list) && list.every(isSegment))
    && Array.isArray(value.signers) && value.signers.every(isSigner);
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
      if (isSame && Array.isArray(kept.review)) old.push(...kept.review.filter((o) => isOperation(o) && !isKnown(o)));
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
    if (!isOperation(operation)) return refuse(k + 1, t("nooperation"));
    operations.push(operation);
  }
  let taken = 0, known = 0, left = 0;
  for (const operation of operations) {
    const isSame = !isKnown(operation) && operation.after.length > 0
      && operation.after.every((s) => { const there = layers[operation.layer].byId.get(s.segment); return there && same(there, whole(s)); });
    if (isKnown(operation) || isSame) known++;
    else if (take(operation.layer, operation)) { exported.add(operation.id); taken++; }
    else left++;
  }
  warn("file", null);
  changed();
  say(t("opened", { name, taken, known, left }));
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
