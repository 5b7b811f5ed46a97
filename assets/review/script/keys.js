// Keys: one table of what can be done, with the keys that do it. Keys go to the page, not to the button clicked last.

/** [group, name, keys, act]. The name is also the word in the help. */
const ACTIONS = [
  ["play", "playpause", ["Space"], toggle],
  ["play", "shuttleback", ["J"], () => shuttle(-1)], ["play", "shuttlestop", ["K"], () => shuttle(0)], ["play", "shuttleon", ["L"], () => shuttle(1)],
  ["play", "frameback", ["ArrowLeft"], () => seek(frame - 1)], ["play", "frameon", ["ArrowRight"], () => seek(frame + 1)],
  ["play", "segmentback", ["Shift+ArrowLeft"], () => jump(-1)], ["play", "segmenton", ["Shift+ArrowRight"], () => jump(1)],
  ["play", "secondback", ["PageUp"], () => second(-1)], ["play", "secondon", ["PageDown"], () => second(1)],
  ["play", "first", ["Home"], () => seek(0)], ["play", "last", ["End"], () => seek(lastFrame)],
  ["play", "slower", ["<", ","], () => stepSpeed(-1)], ["play", "faster", [">", "."], () => stepSpeed(1)],
  ["play", "looping", ["Q"], () => setLoop(!loop)], ["play", "playstart", ["P"], () => playEdge("first_frame")], ["play", "playend", ["Shift+P"], () => playEdge("last_frame")],
  ["play", "goto", ["G"], () => { $("goto").focus(); $("goto").select(); }],
  ...CLASSES.map((name, k) => ["label", name, [String(k)], () => label(name)]),
  ["label", "eighthkind", ["7"], () => (part ? label("eighthkind") : say(t("nokey", { key: shownKey("eighthkind") })))],
  ["label", "notaface", ["X"], () => label(null)], ["label", "accept", ["A"], accept], ["label", "unsure", ["U"], flag],
  ["label", "comment", ["C"], () => { if (needed()) $("comment").focus(); }],
  ["edit", "starthere", ["["], () => startHere(false)], ["edit", "endhere", ["]"], () => endHere(false)],
  ["edit", "startalone", ["{"], () => startHere(true)], ["edit", "endalone", ["}"], () => endHere(true)],
  ["edit", "split", ["S"], split], ["edit", "mergenext", ["M"], () => merge(1)], ["edit", "mergelast", ["Shift+M"], () => merge(-1)],
  ["edit", "markin", ["I"], () => mark("first")], ["edit", "markout", ["O"], () => mark("last")], ["edit", "delete", ["Delete", "Backspace"], erase],
  ["edit", "unmark", ["Escape"], () => { marked = null; dragged = null; repaint(); }],
  ["edit", "undo", ["Ctrl+Z"], undo], ["edit", "redo", ["Ctrl+Shift+Z", "Ctrl+Y"], redo], ["edit", "save", ["Ctrl+S"], save],
  ["look", "nextunsure", ["N"], nextUnsure], ["look", "listback", ["ArrowUp"], () => alongList(-1)], ["look", "liston", ["ArrowDown"], () => alongList(1)],
  ["look", "nextsigner", ["T"], nextSigner], ["edit", "addsigner", ["Shift+T"], addSigner], ["look", "nextpart", ["E"], nextPart], ["look", "find", ["/"], () => $("bytext").focus()],
  ["look", "zoomin", ["+", "="], () => zoom(0.5)], ["look", "zoomout", ["-"], () => zoom(2)], ["look", "zoomall", ["F"], () => zoom(1e9)],
  ["look", "zoomsegment", ["Z"], () => { const s = needed(); if (s) zoomTo(s); }],
  ["look", "panback", ["Shift+PageUp"], () => pan((view[0] - view[1]) / 2)], ["look", "panon", ["Shift+PageDown"], () => pan((view[1] - view[0]) / 2)],
  ["look", "curves", ["V"], nextCurves], ["look", "strip", ["B"], () => setStrip($("strip").hidden)], ["look", "keys", ["?", "F1"], () => openHelp()],
];
const ACTION = new Map(ACTIONS.map(([group, name, keys, act]) => [name, { group, name, keys, act }]));

const keysOf = (name) => (Array.isArray(settings.bindings[name]) ? settings.bindings[name] : ACTION.get(name).keys);

const SIGNS = { ArrowLeft: "\u2190", ArrowRight: "\u2192", ArrowUp: "\u2191", ArrowDown: "\u2193" };
/** A key as it is shown: `Shift \u2190`. */
function shownKey(name) {
  const [key] = ACTION.has(name) ? keysOf(name) : [];
  if (!key) return "";
  return key.split(/\+(?=.)/).map((part) => SIGNS[part] || (data.strings[language][`key_${part}`] ?? part)).join(" ");
}

/** What was pressed, as it stands in the table: `Ctrl+Shift+Z`, `[`, `Space`. */
function pressed(event) {
  // AltGr, by which many keyboards type brackets, reports Ctrl and Alt too.
  const plain = event.getModifierState("AltGraph");
  const isLetter = /^\p{L}$/u.test(event.key);
  const parts = [];
  if ((event.ctrlKey || event.metaKey) && !plain) parts.push("Ctrl");
  if (event.altKey && !plain) parts.push("Alt");
  if (event.shiftKey && (isLetter || event.key.length > 1)) parts.push("Shift");
  parts.push(event.key === " " ? "Space" : isLetter ? event.key.toUpperCase() : event.key);
  return parts.join("+");
}

/** Keys that go along a list of choices. */
const GO_ALONG = ["ArrowUp", "ArrowDown", "ArrowLeft", "ArrowRight", "Home", "End", "PageUp", "PageDown", "Enter", "Escape", "Tab"];

/** The action that is waiting for its new key, or null. */
let rebinding = null;

addEventListener("keydown", (event) => {
  if (["Shift", "Control", "Alt", "Meta", "AltGraph"].includes(event.key)) return;
  const key = pressed(event);
  if (rebinding) { event.preventDefault(); return rebind(key); }
  if (document.querySelector("dialog[open]")) return;
  const field = event.target.closest && event.target.closest("input, textarea, select");
  if (field) {
    if (event.key === "Escape" || (event.key === "Enter" && field.tagName === "INPUT")) { event.preventDefault(); field.blur(); }
    // A list that a mouse has opened takes the keys that go along it, and no others.
    if (field.tagName === "SELECT" ? GO_ALONG.includes(event.key) : key !== "Ctrl+S") return;
    if (field.tagName === "SELECT") field.blur();
  }
  // Enter presses a button that has the focus; everything else goes to the page.
  const found = ACTIONS.find(([, name]) => keysOf(name).includes(key));
  if (!found) {
    if (key.length === 1 && !event.target.closest("button, summary, a")) say(t("nokey", { key }));
    return;
  }
  event.preventDefault();
  found[3]();
}, true);
// A button that was pressed by Space would fire on release, even though the page took the key.
addEventListener("keyup", (event) => { if (event.key === " " && event.target.closest && event.target.closest("button, summary") && !document.querySelector("dialog[open]")) event.preventDefault(); }, true);
// What was clicked does not keep the keyboard.
addEventListener("click", (event) => {
  const control = event.detail > 0 && event.target.closest && event.target.closest("button");
  if (control && !control.closest("dialog")) control.blur();
}, true);
addEventListener("change", (event) => { if (event.target.matches("select") && !event.target.closest("dialog")) event.target.blur(); });

// --- help -------------------------------------------------------------------------------------------------------------

function openHelp() {
  fillHelp();
  openDialog("help");
}

function fillHelp() {
  const groups = [...new Set(ACTIONS.map(([group]) => group))];
  $("keylist").replaceChildren(...groups.map((group) => make("section", {}, make("h3", { textContent: t(`group_${group}`) }),
    make("dl", {}, ...ACTIONS.filter(([g]) => g === group).flatMap(([, name]) => {
      const key = button(rebinding === name ? t("presskey") : shownKey(name) || "\u2013", () => { rebinding = name; fillHelp(); $("keylist").querySelector(".waiting").focus(); });
      key.className = rebinding === name ? "waiting" : "";
      key.setAttribute("aria-label", `${t(name)}: ${shownKey(name)}. ${t("changekey")}`);
      return [make("dt", {}, key), make("dd", { textContent: t(name) })];
    })))));
}

/** Gives the waiting action a key; whoever had it gets the old one. */
function rebind(key) {
  const name = rebinding;
  rebinding = null;
  if (key === "Escape") return fillHelp();
  if (key === "Space" && name !== "playpause") { fillHelp(); return ($("keynote").textContent = t("spaceplays")); }
  const [old] = keysOf(name);
  const holder = ACTIONS.map(([, other]) => other).find((other) => other !== name && keysOf(other).includes(key));
  if (holder) settings.bindings[holder] = keysOf(holder).map((k) => (k === key ? old : k)).filter(Boolean);
  settings.bindings[name] = [key, ...keysOf(name).slice(1).filter((k) => k !== key)];
  if (name === "playpause" && !settings.bindings[name].includes("Space")) settings.bindings[name].push("Space");
  keepSettings();
  fillHelp();
  labelControls();
  $("keynote").textContent = holder ? t("swapped", { other: t(holder), key: shownKey(holder) || "\u2013" }) : t("bound", { what: t(name), key: shownKey(name) });
}
