// The video: exact frames, speeds, loops, and playing backwards, which browsers do not do by themselves.

const video = $("video");
let signer = null;
let frame = 0;
let loop = false;
/** Frames a second while playing backwards; 0 otherwise. */
let rewind = 0;

/** What the player's clock shows where the page's shows 0: some browsers count from the container's start, others keep its times. */
let offset = 0;
/** Until the first picture has told which, nothing is sought: it has to be the video's first. */
let isCalibrated = false;

/** Learns from the time of the video's first picture which clock the player has. */
function calibrate(time) {
  const far = (candidate) => Math.abs(time - startS - candidate);
  offset = far(data.media.start_s) < far(0) ? data.media.start_s : 0;
  isCalibrated = true;
  shown(time - offset);
  goTo(frame);
}

/** Shows a frame: the middle of its time, so that no rounding shows its neighbour. */
function seek(to) {
  stop();
  goTo(to);
}

function goTo(to) {
  frame = clamp(Math.round(to), 0, lastFrame);
  if (times.length && isCalibrated) video.currentTime = middleOf(frame) + offset;
  reveal(times[frame] || 0);
  repaint();
}

function stop() {
  rewind = 0;
  if (!video.paused) video.pause();
}

function shown(time) {
  const at = frameAt(time + 1e-4);
  document.documentElement.dataset.shownFrame = at;
  if (!video.paused) {
    const [from, to] = looped();
    if (loop && (at > to || at < from)) return void (video.currentTime = middleOf(from) + offset);
    if (at !== frame) { frame = at; reveal(times[at]); repaint(); }
  }
  drawPicture();
}

/** What a loop repeats: the marked frames, or the segment it began in, or all. */
let loopFrames = null;
const looped = () => (marked && marked.track === (signer && signer.id) ? [marked.first, marked.last] : loopFrames || [0, lastFrame]);

function setLoop(on) {
  loop = on;
  const segment = current();
  loopFrames = segment ? [segment.first_frame, segment.last_frame] : null;
  $("loop").setAttribute("aria-pressed", on);
  say(on ? t("loopon", { from: looped()[0], to: looped()[1] }) : t("loopoff"));
}

function play() {
  if ($("screen").classList.contains("blank")) return say(t("novideo"));
  rewind = 0;
  if (loop && !marked) { const s = current(); loopFrames = s ? [s.first_frame, s.last_frame] : loopFrames; }
  video.play().catch(() => {});
}

function toggle() { if (video.paused && !rewind) play(); else stop(); }

const SPEEDS = [0.1, 0.25, 0.5, 0.75, 1, 1.5, 2];
function setSpeed(speed) {
  video.playbackRate = speed;
  $("speed").value = speed;
}
const stepSpeed = (by) => { setSpeed(SPEEDS[clamp(SPEEDS.indexOf(video.playbackRate) + by, 0, SPEEDS.length - 1)]); say(t("speedis", { speed: video.playbackRate })); };

/** L: forwards, faster with each press. J: backwards likewise. K: stop, and speed 1 again. */
function shuttle(direction) {
  if (direction === 0) { stop(); return setSpeed(1); }
  if (direction > 0) {
    if (!video.paused) stepSpeed(1); else play();
    return;
  }
  video.pause();
  const rate = times.length > 1 ? lastFrame / (times[lastFrame] - times[0]) : 25;
  const speed = rewind ? Math.min(4, (rewind / rate) * 2) : 1;
  const running = rewind > 0;
  rewind = rate * speed;
  if (!running) requestAnimationFrame(stepBack);
}

let steppedAt = 0;
function stepBack(now) {
  if (!rewind) return void (steppedAt = 0);
  if (!steppedAt) steppedAt = now;
  const frames = Math.floor(((now - steppedAt) / 1000) * rewind);
  // A seek under way is not overtaken, or nothing would ever be shown.
  if (frames > 0 && (!video.seeking || now - steppedAt > 250)) {
    steppedAt = now;
    if (frame === 0) rewind = 0;
    goTo(frame - frames);
  }
  requestAnimationFrame(stepBack);
}

const second = (direction) => seek(frameAt(times[frame] + direction + 1e-6));

/** The next segment's first frame, or the last one's. */
function jump(direction) {
  const lane = laneHere();
  const next = direction > 0 ? lane.find((s) => s.first_frame > frame) : lane.filter((s) => s.first_frame < frame).at(-1);
  if (next) seek(next.first_frame); else say(t(direction > 0 ? "nonext" : "nobefore"));
}

/** Plays from half a second before an edge of the segment here to half a second after it. */
let playUntil = null;
function playEdge(side) {
  const segment = needed();
  if (!segment) return;
  const edge = side === "first_frame" ? times[segment.first_frame] : endOf(segment.last_frame);
  goTo(frameAt(Math.max(startS, edge - 0.5)));
  playUntil = frameAt(edge + 0.5);
  play();
}

function jumpTo(text) {
  const time = seconds(text);
  if (time === null) return say(t("notime", { text }));
  seek(frameAt(time));
}

function watchFrames() {
  const onFrame = (time) => {
    if (!isCalibrated) return calibrate(time);
    shown(time - offset);
    if (playUntil !== null && frame >= playUntil) { playUntil = null; stop(); }
  };
  if (HTMLVideoElement.prototype.requestVideoFrameCallback) {
    const step = (_, { mediaTime }) => { onFrame(mediaTime); video.requestVideoFrameCallback(step); };
    video.requestVideoFrameCallback(step);
  } else {
    const step = () => { if (isCalibrated) onFrame(video.currentTime); requestAnimationFrame(step); };
    requestAnimationFrame(step);
  }
  video.addEventListener("pause", () => { playUntil = null; paintButtons(); });
  video.addEventListener("play", paintButtons);
  video.addEventListener("ended", () => { if (loop) { goTo(looped()[0]); play(); } });
  video.addEventListener("error", noVideo);
  video.addEventListener("loadedmetadata", () => { if (!video.videoWidth) noVideo(); else { repaint(); } });
  // Where no picture comes by itself, the length tells: some players' includes the time before the first frame.
  video.addEventListener("loadeddata", () => { checkVideo(); setTimeout(() => { if (!isCalibrated) calibrate(startS + video.duration - endS); }, 1500); });
  video.src = data.media.url;
}

/** The browser cannot show the file, or it is not there: review goes on, and the page says what to do. */
function noVideo() {
  $("screen").classList.add("blank");
  $("novideo").hidden = false;
  $("novideo").replaceChildren(
    make("strong", { textContent: t("novideo") }), make("span", { textContent: `${t("expected")} ${data.media.path}` }),
    make("span", { textContent: t("proxy") }), make("code", { textContent: `annotate review ${quoted(data.labels)} --proxy` }),
  );
}

/** A file's name as a shell takes it. */
const quoted = (name) => (/^[\w.,@%+=:-][\w.,@%+=:/-]*$/.test(name) && !name.startsWith("-") ? name : `'${(name.startsWith("-") ? "./" : "") + name.replaceAll("'", "'\\''")}'`);

/** Frames' times are another video's where the picture has another shape or ends too early. */
function checkVideo() {
  const { videoWidth, videoHeight, duration } = video;
  const isOther = Math.abs((videoWidth * data.media.height) / (videoHeight * data.media.width) - 1) > 0.03 || duration < endS - Math.max(0.5, 0.02 * endS);
  warn("video", isOther ? t("othervideofile", { name: data.media.name }) : null);
}
