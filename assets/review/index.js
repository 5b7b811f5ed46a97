"use strict";
// The annotations of a folder, and how far each is reviewed. What this browser keeps and nobody has saved is counted too.

const data = JSON.parse(document.getElementById("data").textContent);
const german = (data.language || (navigator.language.startsWith("de") ? "de" : "en")) === "de";
const word = (en, de) => (german ? de : en);
const make = (tag, properties = {}, ...children) => {
  const node = Object.assign(document.createElement(tag), properties);
  node.append(...children);
  return node;
};

/** Work in this browser that is in no file yet: { done, all, unsaved, reviewer }, or null. */
function kept(fingerprint) {
  try {
    const work = JSON.parse(localStorage.getItem(`annotate-review/2:${fingerprint}`));
    if (!work) return null;
    const saved = work.exported === "all" ? null : new Set(work.exported);
    const unsaved = saved ? [...work.review, ...work.blind].filter((o) => !saved.has(o.id)).length : 0;
    return { done: work.done, all: work.all, unsaved, reviewer: work.reviewer, time: work.time };
  } catch { return null; }
}

const entries = data.entries.map((entry) => {
  const work = kept(entry.fingerprint);
  const [done, all] = work ? [work.done, work.all] : [entry.reviewed, entry.segments];
  const reviewers = new Set([...entry.reviewers, ...(work && work.reviewer ? [work.reviewer] : [])]);
  return { ...entry, done, all, unsaved: work ? work.unsaved : 0, reviewers: [...reviewers], last: work && work.time > entry.last ? work.time : entry.last };
});

const COLUMNS = [
  [word("annotation", "Annotation"), (e) => e.name, (e) => make("a", { href: e.page, textContent: e.name })],
  [word("length", "Länge"), (e) => e.duration_s, (e) => `${Math.floor(e.duration_s / 60)}:${(e.duration_s % 60).toFixed(1).padStart(4, "0")}`],
  [word("reviewed", "geprüft"), (e) => (e.all ? e.done / e.all : 1), (e) => {
    const fill = make("i");
    fill.style.width = `${e.all ? (100 * e.done) / e.all : 100}%`;
    return make("span", {}, make("span", { className: "bar" }, fill), `${e.done} / ${e.all}`);
  }],
  [word("left", "offen"), (e) => e.all - e.done, (e) => String(e.all - e.done)],
  [word("by", "von"), (e) => e.reviewers.join(), (e) => e.reviewers.join(", ")],
  [word("last", "zuletzt"), (e) => e.last, (e) => e.last.slice(0, 16).replace("T", " ")],
  [word("not taken in yet", "noch nicht übernommen"), (e) => e.unsaved + e.waiting.reduce((s, [, n]) => s + n, 0), (e) => [
    ...e.waiting.map(([name, count]) => `${name}: ${count}`), ...(e.unsaved ? [word(`${e.unsaved} edits in this browser, not saved`, `${e.unsaved} Änderungen in diesem Browser, ungesichert`)] : []),
  ].join("; ")],
];

let order = [0, 1];
function draw() {
  const [column, direction] = order;
  const value = COLUMNS[column][1];
  const sorted = [...entries].sort((a, b) => direction * (value(a) < value(b) ? -1 : value(a) > value(b) ? 1 : 0));
  document.getElementById("head").replaceChildren(make("tr", {}, ...COLUMNS.map(([name], k) => {
    const button = make("button", { type: "button", textContent: name });
    button.addEventListener("click", () => { order = [k, k === column ? -direction : 1]; draw(); });
    const cell = make("th", { scope: "col" }, button);
    if (k === column) cell.setAttribute("aria-sort", direction > 0 ? "ascending" : "descending");
    return cell;
  })));
  document.getElementById("rows").replaceChildren(...sorted.map((e) => make("tr", {}, ...COLUMNS.map(([, , show]) => make("td", {}, show(e))))));
}

document.documentElement.lang = german ? "de" : "en";
document.getElementById("title").textContent = data.title;
const sum = (of) => entries.reduce((total, e) => total + of(e), 0);
document.getElementById("total").textContent = word(
  `${sum((e) => e.done)} of ${sum((e) => e.all)} segments in ${entries.length} annotations reviewed; ${entries.filter((e) => e.done < e.all).length} annotations have some left`,
  `${sum((e) => e.done)} von ${sum((e) => e.all)} Abschnitten in ${entries.length} Annotationen geprüft; ${entries.filter((e) => e.done < e.all).length} Annotationen haben noch offene`);
if (data.refused.length) {
  document.getElementById("refused").hidden = false;
  document.getElementById("refusedhead").textContent = word("Files that are no annotation", "Dateien, die keine Annotation sind");
  document.getElementById("refusedlist").replaceChildren(...data.refused.map(([name, reason]) => make("li", { textContent: `${name}: ${reason}` })));
}
draw();
document.documentElement.dataset.ready = "true";
