// What is drawn from the video: boxes over it, the chosen signer's face close up, and neighbouring frames as a strip.

/** Frames on either side over which a close-up is steadied; less follows the box's own jitter. */
const STEADY = 6;

/** Centre and side of the close-up at a frame, pixels of the displayed picture; null where no face is known near by. */
function closeUp(track, at) {
  let [x, y, side, weight] = [0, 0, 0, 0];
  for (let k = at - STEADY; k <= at + STEADY; k++) {
    const box = faceOf(track, k);
    if (!box) continue;
    const w = STEADY + 1 - Math.abs(k - at);
    x += w * (box[0] + box[2] / 2);
    y += w * (box[1] + box[3] / 2);
    side += w * Math.max(box[2], box[3]);
    weight += w;
  }
  return weight ? { x: x / weight, y: y / weight, side: (1.7 * side) / weight } : null;
}

/** The face's roll, steadied likewise: degrees by which the picture is turned back. */
function rollAt(track, at) {
  let sum = 0;
  for (let k = at - 2; k <= at + 2; k++) sum += seenAs(track, k).roll(k);
  return sum / 5;
}

/** Draws the close-up of a frame that `source` shows into a canvas. */
function drawFace(canvas, source, track, at) {
  const ratio = devicePixelRatio || 1;
  const [width, height] = [Math.round(canvas.clientWidth * ratio), Math.round(canvas.clientHeight * ratio)];
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
  const size = Math.min(width, height);
  const context = canvas.getContext("2d");
  context.setTransform(1, 0, 0, 1, 0, 0);
  context.fillStyle = "#000";
  context.fillRect(0, 0, width, height);
  const view = track && closeUp(track, at);
  if (!view || !source.videoWidth || source.readyState < 2) return Boolean(view);
  const scale = size / view.side;
  context.translate(width / 2, height / 2);
  // A positive roll leans the top to the signer's left, which is right in the picture.
  context.rotate((-rollAt(track, at) * Math.PI) / 180);
  context.scale((scale * data.media.width) / source.videoWidth, (scale * data.media.height) / source.videoHeight);
  context.imageSmoothingQuality = "high";
  context.drawImage(source, (-view.x * source.videoWidth) / data.media.width, (-view.y * source.videoHeight) / data.media.height);
  return true;
}

function drawPicture() {
  drawBoxes();
  const isKnown = drawFace($("face"), video, signer, frame);
  $("noface").hidden = isKnown;
  if (!isKnown) $("noface").textContent = signer ? `${signerName(signer)}: ${t("nofacehere")}` : t("nobody");
}

/** Where the picture lies in the video element, which has bars where the shapes differ: scale, left, top. */
function picturePlace() {
  const { clientWidth: width, clientHeight: height } = $("screen");
  const scale = Math.min(width / data.media.width, height / data.media.height) || 1;
  return { scale, left: (width - scale * data.media.width) / 2, top: (height - scale * data.media.height) / 2 };
}

function drawBoxes() {
  const canvas = $("overlay");
  const ratio = devicePixelRatio || 1;
  const { clientWidth, clientHeight } = $("screen");
  const [width, height] = [Math.round(clientWidth * ratio), Math.round(clientHeight * ratio)];
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, clientWidth, clientHeight);
  const { scale, left, top } = picturePlace();
  context.font = "14px system-ui, sans-serif";
  // The chosen signer's name lies on top.
  for (const track of [...signers().filter((one) => one !== signer), ...(signer ? [signer] : [])]) {
    const box = faceOf(track, frame);
    if (!box) continue;
    const [x, y, w, h] = [left + box[0] * scale, top + box[1] * scale, box[2] * scale, box[3] * scale];
    const segment = lanes().at(track.id, frame);
    const status = seenAs(track, frame).status(frame);
    context.lineWidth = track === signer ? 3 : 1.5;
    context.strokeStyle = segment ? colourOf(segment.label) : data.no_face;
    context.strokeRect(x, y, w, h);
    if (!segment || segment.label === null) hatch(context, x, y, w, h);
    const state = segment ? labelName(segment.label) : layer === "blind" ? "" : status === STATUS_OK ? t("nolabel") : t(data.statuses[status] ?? "no_face");
    const text = `${signerName(track)} ${state}`;
    const wide = context.measureText(text).width + 10;
    const at = clamp(x, 0, Math.max(0, clientWidth - wide));
    context.fillStyle = "rgba(0,0,0,.75)";
    context.fillRect(at, Math.max(0, y - 20), wide, 20);
    context.fillStyle = "#fff";
    context.fillText(text, at + 5, Math.max(15, y - 5));
  }
}

const faceOf = (track, at) => seenAs(track, at).box(at);

function hatch(context, x, y, w, h, colour = "#808080") {
  context.save();
  context.beginPath(); context.rect(x, y, w, h); context.clip();
  context.strokeStyle = colour; context.lineWidth = 1;
  context.beginPath();
  for (let k = -h; k < w; k += 7) { context.moveTo(x + k, y + h); context.lineTo(x + k + h, y); }
  context.stroke();
  context.restore();
}

/** A click on a face chooses its signer. */
$("screen").addEventListener("click", (event) => {
  const { scale, left, top } = picturePlace();
  const bounds = $("screen").getBoundingClientRect();
  const [x, y] = [(event.clientX - bounds.left - left) / scale, (event.clientY - bounds.top - top) / scale];
  const hit = signers().filter((track) => {
    const box = faceOf(track, frame);
    return box && x >= box[0] && y >= box[1] && x <= box[0] + box[2] && y <= box[1] + box[3];
  });
  if (hit.length) choose(hit[0]);
});

// --- strip ------------------------------------------------------------------------------------------------------------

/** A second player for the strip, so that the first one stays where it is. */
let stripVideo = null;
/** Resolves when the second player has a picture, or has failed. */
let stripReady = null;
let stripRun = 0;
const STRIP = 9;

function setStrip(on) {
  $("strip").hidden = !on;
  $("stripbutton").setAttribute("aria-pressed", on);
  stripFrame = "";
  repaint();
}

/** Draws the frames around this one, one after the other; a newer call ends an older one. */
async function drawStrip() {
  if ($("strip").hidden || !signer) return;
  const run = ++stripRun;
  if (!stripVideo) {
    stripVideo = make("video", { muted: true, preload: "auto" });
    stripReady = new Promise((done) => { stripVideo.onloadeddata = done; stripVideo.onerror = done; });
    stripVideo.src = data.media.url;
  }
  const [centre, track] = [frame, signer];
  const frames = Array.from({ length: STRIP }, (_, k) => centre - (STRIP >> 1) + k).filter((k) => k >= 0 && k <= lastFrame);
  const cells = frames.map((k) => {
    const canvas = make("canvas");
    const cell = make("button", { type: "button", className: k === centre ? "now" : "" }, canvas, make("span", { textContent: k }));
    cell.setAttribute("aria-label", `${t("frame")} ${k}`);
    cell.addEventListener("click", () => seek(k));
    return [k, canvas, cell];
  });
  $("strip").replaceChildren(...cells.map(([, , cell]) => cell));
  await stripReady;
  if (stripVideo.error) return;
  for (const [k, canvas] of cells) {
    if (run !== stripRun) return;
    const sought = new Promise((done) => { stripVideo.onseeked = done; });
    stripVideo.currentTime = middleOf(k) + offset;
    await sought;
    if (run !== stripRun) return;
    drawFace(canvas, stripVideo, track, k);
  }
}
