// Puts the page together.

/** Words, names and states of all controls; again after a change of language, keys or mode. */
function labelControls() {
  labelPage();
  buildLabels();
  fillSelect("curvemode", curveModes().map((mode) => [mode, t(mode)]));
  $("curvemode").value = curveMode();
  $("curvemode").disabled = layer === "blind";
  $("advance").setAttribute("aria-pressed", settings.advance);
  $("blindbutton").textContent = t(layer === "blind" ? "blindend" : "blindmode");
  $("timeline").setAttribute("aria-label", t("timeline"));
  $("list").setAttribute("aria-label", t("segments"));
  video.setAttribute("aria-label", t("picture"));
  $("comment").placeholder = t("comment");
  $("bytext").placeholder = t("text");
  paintButtons();
  if (!$("novideo").hidden) noVideo();
  warn("incomplete", data.complete ? null : t("incomplete"));
}

const CLICKS = {
  play: toggle, frameback: () => seek(frame - 1), frameon: () => seek(frame + 1), playstart: () => playEdge("first_frame"), playend: () => playEdge("last_frame"), loop: () => setLoop(!loop), stripbutton: () => setStrip($("strip").hidden),
  accept, unsure: flag, split, starthere: () => startHere(false), endhere: () => endHere(false), mergelast: () => merge(-1), mergenext: () => merge(1), delete: erase,
  undo, redo, save, markin: () => mark("first"), markout: () => mark("last"), nextunsure: nextUnsure, signersbutton: openSigners, addsigner: () => { addSigner(); openSigners(); }, blindbutton: openBlind, helpbutton: openHelp,
  open: () => $("file").click(),
  advance: () => { settings.advance = !settings.advance; keepSettings(); labelControls(); },
  language: () => { language = language === "en" ? "de" : "en"; labelControls(); fillFilters(); drawProgress(); refreshList(); summarise(); repaint(); },
  resetkeys: () => { settings.bindings = {}; keepSettings(); fillHelp(); labelControls(); },
  startblind: () => { $("blind").close(); startBlind(Number($("blindshare").value)); },
  endblind: () => { $("compare").close(); endBlind(); },
  zoomin: () => zoom(0.5), zoomout: () => zoom(2), zoomall: () => zoom(1e9),
};

function wire() {
  for (const [id, act] of Object.entries(CLICKS)) $(id).addEventListener("click", () => act());
  for (const node of document.querySelectorAll("dialog .close")) node.addEventListener("click", () => node.closest("dialog").close());
  for (const dialog of document.querySelectorAll("dialog")) dialog.addEventListener("close", () => { rebinding = null; repaint(); });
  $("speed").replaceChildren(...SPEEDS.map((speed) => make("option", { value: speed, textContent: `${speed}\u00d7` })));
  $("speed").value = 1;
  $("speed").addEventListener("change", () => setSpeed(Number($("speed").value)));
  $("curvemode").addEventListener("change", () => { settings.curves = $("curvemode").value; keepSettings(); repaint(); });
  for (const id of ["bylabel", "bysigner", "bysure", "byreview", "order"]) $(id).addEventListener("change", () => { refreshList(); repaint(); });
  $("bytext").addEventListener("input", () => { refreshList(); repaint(); });
  $("list").addEventListener("scroll", () => paintList());
  $("goto").addEventListener("change", () => { if ($("goto").value.trim()) jumpTo($("goto").value); $("goto").value = ""; });
  $("comment").addEventListener("change", () => remark($("comment").value.trim()));
  $("reviewer").value = settings.reviewer;
  $("reviewer").addEventListener("change", () => { settings.reviewer = $("reviewer").value.trim(); keepSettings(); keepWork(); });
  $("file").addEventListener("change", () => { openFile($("file").files[0]); $("file").value = ""; });
  new ResizeObserver(repaint).observe($("screen"));
  new ResizeObserver(repaint).observe($("timeline"));
  addEventListener("resize", repaint);
  addEventListener("beforeprint", summarise);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", repaint);
  $("summary").addEventListener("toggle", summarise);
}

/** A list of what to look at opens the page at `#frame=N`. */
function openAtFrame() {
  const wanted = /^#frame=(\d+)$/.exec(location.hash);
  if (wanted) seek(Number(wanted[1]));
}

async function start() {
  await unpackTracks();
  fillLanes();
  signer = signers()[0] || null;
  wire();
  labelControls();
  fillFilters();
  loadWork();
  const blind = stored(`${STORE}:blind`);
  if (blind || data.blind !== null) startBlind(blind ? blind.share : data.blind); else { refreshList(); drawProgress(); }
  watchFrames();
  openAtFrame();
  addEventListener("hashchange", openAtFrame);
  summarise();
  paint();
  document.documentElement.dataset.ready = "true";
}

start().catch((error) => {
  warn("start", `${t("broken")} ${error.message}`);
  throw error;
});
