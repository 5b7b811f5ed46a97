// Words in the reader's language, and what is said while somebody works.

let language = data.language || (navigator.language.startsWith("de") ? "de" : "en");

/** The words for a key, with `{name}` filled in. */
function t(key, values = {}) {
  const text = data.strings[language][key] ?? key;
  return text.replace(/\{(\w+)\}/g, (whole, name) => values[name] ?? whole);
}

/** What a segment or event is called by: its label, or the kind of event. */
const whatOf = (segment) => segment.event ?? segment.label;
const labelName = (label) => (label === null ? t("notaface") : t(label));
const signerName = (track) => (track.name ? track.name : `${t("signer")} ${track.letter}`);
const colourOf = (label) => (label === null ? data.no_face : data.event_colours[label] ?? data.colours[CLASSES.indexOf(label)]);

/** Says something at the foot of the page and to screen readers; a key has no other way to tell why nothing happens. */
function say(text) {
  const node = $("message");
  node.textContent = text;
  node.classList.remove("fresh");
  void node.offsetWidth; // Restarts the animation.
  node.classList.add("fresh");
}

/** Warnings stay on screen until they no longer hold; one a kind. */
const warnings = new Map();
function warn(kind, text, ...buttons) {
  if (text === null) warnings.delete(kind);
  else warnings.set(kind, make("p", { className: "warning" }, make("span", { textContent: text }), ...buttons));
  $("warnings").replaceChildren(...warnings.values());
}

function button(text, act, properties = {}) {
  const node = make("button", { type: "button", textContent: text, ...properties });
  node.addEventListener("click", act);
  return node;
}

/** Puts the words of the language on everything that stands still. */
function labelPage() {
  document.documentElement.lang = language;
  for (const node of document.querySelectorAll("[data-text]")) node.textContent = t(node.dataset.text);
  for (const node of document.querySelectorAll("[data-name]")) {
    // A control with words on it is called by them.
    if (!node.dataset.text) node.setAttribute("aria-label", t(node.dataset.name));
    node.title = withKey(node.dataset.name, node.dataset.action);
  }
  $("title").textContent = data.media.name;
  $("language").textContent = language === "en" ? "Deutsch" : "English";
  $("language").lang = language === "en" ? "de" : "en";
}

/** A name with the key that does the same. */
function withKey(name, action) {
  const key = action && shownKey(action);
  return key ? `${t(name)} (${key})` : t(name);
}
