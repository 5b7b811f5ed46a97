// A second opinion: somebody labels without seeing the program's labels, all of the video or a random sample of it. At the end
// the page compares.

/** Length of the stretches that a sample consists of, seconds. */
const STRETCH_S = 4;
let blindShare = 1;
let stretches = null;

/** Random numbers 0 to 1 from a seed (mulberry32), so that a page over the same labels has the same sample. */
function randoms(seed) {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let v = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    v = (v + Math.imul(v ^ (v >>> 7), 61 | v)) ^ v;
    return ((v ^ (v >>> 14)) >>> 0) / 4294967296;
  };
}

/** What is to be labelled: pairs of first and last frame. */
function blindStretches() {
  if (stretches) return stretches;
  if (blindShare >= 1) return (stretches = times.length ? [[0, lastFrame]] : []);
  const all = [];
  for (let from = startS; from < endS; from += STRETCH_S) {
    const [first, last] = [frameAt(from + 1e-9), Math.min(lastFrame, frameAt(from + STRETCH_S) - 1)];
    if (last >= first) all.push([first, last]);
  }
  const random = randoms(parseInt(data.fingerprint.slice(0, 8), 16));
  const drawn = all.map((stretch) => [random(), stretch]).sort((a, b) => a[0] - b[0]).slice(0, Math.max(1, Math.round(all.length * blindShare)));
  return (stretches = drawn.map(([, stretch]) => stretch).sort((a, b) => a[0] - b[0]));
}

function startBlind(share) {
  setPart(null);
  blindShare = share;
  stretches = null;
  layer = "blind";
  marked = null;
  document.documentElement.dataset.blind = "true";
  store(`${STORE}:blind`, { share });
  labelControls();
  changed();
  const [first] = blindStretches();
  if (first) seek(first[0]);
  say(t("blindhow"));
}

function blindProgress() {
  let wanted = 0, labelled = 0;
  for (const [first, last] of blindStretches()) {
    for (const track of signers()) {
      for (let k = first; k <= last; k++) if (seenAs(track, k).box(k)) { wanted++; if (layers.blind.at(track.id, k)) labelled++; }
    }
  }
  return t("blindprogress", { percent: wanted ? Math.floor((100 * labelled) / wanted) : 100 });
}

/** Frames by what the program says (rows) and what the person says (columns), the last for none. */
function confusion() {
  const size = CLASSES.length + 1;
  const table = Array.from({ length: size }, () => new Array(size).fill(0));
  const place = (label) => (label === null || label === undefined ? CLASSES.length : CLASSES.indexOf(label));
  for (const raw of data.tracks) {
    const program = new Lanes();
    for (const segment of raw.segments) program.add({ track: raw.id, ...segment });
    const person = trackOf(raw.id)?.into ?? raw.id;
    for (const [first, last] of blindStretches()) {
      for (let k = first; k <= last; k++) {
        const [a, b] = [program.at(raw.id, k), layers.blind.at(person, k)];
        if (a || b || trackOf(raw.id)?.box(k)) table[place(a && a.label)][place(b && b.label)]++;
      }
    }
  }
  return table;
}

/** Cohen's (1960) kappa of a table; null where chance alone gives full agreement. */
function kappa(table) {
  const total = table.flat().reduce((sum, n) => sum + n, 0);
  if (!total) return null;
  let agree = 0, chance = 0;
  table.forEach((row, k) => {
    agree += row[k] / total;
    chance += (row.reduce((s, n) => s + n, 0) / total) * (table.reduce((s, r) => s + r[k], 0) / total);
  });
  return chance < 1 - 1e-12 ? (agree - chance) / (1 - chance) : null;
}

/** Ends the blind part: from here on the labels are seen, and the person's are a tier beside them. */
function compareBlind() {
  const table = confusion();
  const both = table.slice(0, -1).map((row) => row.slice(0, -1));
  const count = both.flat().reduce((s, n) => s + n, 0);
  const agree = both.reduce((s, row, k) => s + row[k], 0);
  const figure = (v) => (v === null ? t("undefined") : v.toFixed(2));
  const heads = [...CLASSES.map((c) => t(c)), t("nolabel")];
  const body = table.map((row, k) => make("tr", {}, make("th", { scope: "row", textContent: heads[k] }),
    ...row.map((n, j) => make("td", { textContent: n, className: j === k ? "agree" : "" }))));
  $("agreement").replaceChildren(
    make("p", { textContent: t("kappaboth", { kappa: figure(kappa(both)), frames: count, percent: count ? Math.round((100 * agree) / count) : 0 }) }),
    make("p", { textContent: t("kappaall", { kappa: figure(kappa(table)) }) }),
    make("table", {}, make("thead", {}, make("tr", {}, make("th", { textContent: t("confusionhead") }), ...heads.map((h) => make("th", { scope: "col", textContent: h })))),
      make("tbody", {}, ...body)),
    make("p", { textContent: t("blindsave") }));
  openDialog("compare");
}

function endBlind() {
  layer = "review";
  marked = null;
  delete document.documentElement.dataset.blind;
  store(`${STORE}:blind`, null);
  for (const track of signers()) {
    const own = layers.blind.of(track.id);
    if (own.length) data.human.push({ name: `${settings.reviewer || t("person")} ${track.letter}`, annotations: own.map((s) => [times[s.first_frame] * 1000, endOf(s.last_frame) * 1000, labelName(s.label), s.label]) });
  }
  labelControls();
  changed();
}

function openBlind() {
  if (layer === "blind") return compareBlind();
  openDialog("blind");
}
