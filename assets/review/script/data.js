"use strict";
// What the page was made from: the video's frames, the signers' faces, the labels. Nothing is sent anywhere.

const data = JSON.parse(document.getElementById("data").textContent);
const CLASSES = data.classes;
const $ = (id) => document.getElementById(id);
const clamp = (value, low, high) => Math.min(high, Math.max(low, value));
const make = (tag, properties = {}, ...children) => {
  const node = Object.assign(document.createElement(tag), properties);
  node.append(...children);
  return node;
};

/** Bytes of a base64 text that holds a zlib stream. */
async function inflate(text) {
  const packed = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Response(stream).arrayBuffer();
}

/** Columns of a table, each stored as differences from row to row: one typed array a column. */
async function columns(text, width, Kind) {
  const all = new Kind(await inflate(text));
  const rows = all.length / width;
  return Array.from({ length: width }, (_, column) => {
    const values = all.subarray(column * rows, (column + 1) * rows);
    for (let row = 1; row < rows; row++) values[row] += values[row - 1];
    return values;
  });
}

// --- time -------------------------------------------------------------------------------------------------------------

/** Start of every frame in the container's time, seconds: pts times time base, or as listed where the clock was reset. */
function frameTimes({ first_pts, steps, time_base, listed }) {
  if (listed) return Float64Array.from(listed);
  const pts = [first_pts];
  for (const [step, count] of steps) for (let k = 0; k < count; k++) pts.push(pts[pts.length - 1] + step);
  return Float64Array.from(pts, (value) => (value * time_base[0]) / time_base[1]);
}

// Players count from the container's start, and so does everything that is shown here.
const times = data.frames.count ? frameTimes(data.frames).map((time) => time - data.media.start_s) : new Float64Array();
const endS = Math.max(data.frames.end_s - data.media.start_s, (times[0] || 0) + 1e-3);
const startS = times.length ? times[0] : 0;
const lastFrame = Math.max(0, times.length - 1);
const endOf = (frame) => (frame + 1 < times.length ? times[frame + 1] : endS);
const middleOf = (frame) => (times[frame] + endOf(frame)) / 2;

/** The frame shown at a time, by the start times. */
function frameAt(time) {
  let low = 0, high = times.length;
  while (low < high) { const middle = (low + high) >> 1; if (times[middle] <= time) low = middle + 1; else high = middle; }
  return clamp(low - 1, 0, lastFrame);
}

/** A time as people read it: 1:02.340. */
function clock(seconds) {
  const sign = seconds < 0 ? "-" : "";
  const ms = Math.round(Math.abs(seconds) * 1000);
  const [minutes, rest] = [Math.floor(ms / 60000), ms % 60000];
  return `${sign}${minutes}:${(rest / 1000).toFixed(3).padStart(6, "0")}`;
}

/** Seconds in what somebody typed (`83.5`, `1:23.5`, `1:01:23`, `f120` for a frame), or null. */
function seconds(text) {
  const frame = /^\s*f\s*(\d+)\s*$/i.exec(text);
  if (frame) return times[clamp(Number(frame[1]), 0, lastFrame)] ?? null;
  const parts = text.trim().replace(",", ".").split(":");
  if (parts.length > 3 || parts.some((part) => !/^\d+(\.\d*)?$/.test(part))) return null;
  return parts.reduce((sum, part) => sum * 60 + Number(part), 0);
}

// --- signers ----------------------------------------------------------------------------------------------------------

/** Kinds of events by the part of the face that does them. */
const PARTS = Object.fromEntries(data.parts);
const KINDS = Object.values(PARTS).flat();

const STATUS_OK = 0;
/** One a signer: what the program saw of the face, frame by frame. Filled once the page's data are unpacked. */
const tracks = [];

class Track {
  /** `into`: the id of the signer that this one was found to be, or null. */
  constructor(raw, probabilities, boxes, [statuses], measures) {
    const { id, signer, name, into, first_frame, frames } = raw;
    Object.assign(this, { id, letter: signer, name, into, first_frame, count: frames, probabilities, boxes, statuses, measures });
  }

  /** Place of a frame in the arrays, or -1. */
  place(frame) {
    const place = frame - this.first_frame;
    return place >= 0 && place < this.count ? place : -1;
  }

  /** Whether a person has added the signer. */
  get isAdded() { return this.count === 0; }

  status(frame) { const place = this.place(frame); return place < 0 ? null : this.statuses[place]; }

  /** The seven probabilities, 0 to 1, or null where the face was not read. */
  p(frame) {
    const place = this.place(frame);
    return place < 0 || this.statuses[place] !== STATUS_OK ? null : this.probabilities.map((column) => column[place] / 255);
  }

  /** Left, top, width and height in pixels of the displayed picture, or null. */
  box(frame) {
    const place = this.place(frame);
    if (place < 0 || this.boxes[2][place] <= 0) return null;
    return this.boxes.map((column) => column[place]);
  }

  /** The face's roll in degrees, or 0 where it was not measured. */
  roll(frame) {
    const measure = this.measures.find((m) => m.name === "roll");
    return (measure && valueOf(measure, this.place(frame))) || 0;
  }
}

/** A measure's value at a place, or null where it is not to be trusted (stored as 255). */
function valueOf({ low, high, values }, place) {
  const stored = place < 0 ? 255 : values[place];
  return stored === 255 ? null : low + ((high - low) * stored) / 254;
}

async function unpackTracks() {
  tracks.push(...(await Promise.all(data.tracks.map(async (raw) => {
    const [probabilities, boxes, statuses, ...measures] = await Promise.all([
      columns(raw.probabilities, 7, Uint8Array), columns(raw.boxes, 4, Int16Array), columns(raw.statuses, 1, Uint8Array),
      ...raw.measures.map(async (m) => ({ ...m, values: (await columns(m.values, 1, Uint8Array))[0] })),
    ]);
    return new Track(raw, probabilities, boxes, statuses, measures);
  }))));
}

/** The letter of a track: A to Z, AA, AB, as everywhere in the program's outputs. */
function letterOf(id) {
  let letters = "";
  for (let rest = id; rest > 0; rest = Math.floor((rest - 1) / 26)) letters = String.fromCharCode(65 + ((rest - 1) % 26)) + letters;
  return letters;
}

/** Adds a signer whom the program never saw: no boxes, no probabilities, only what people say of them. */
function addTrack(id) {
  const raw = { id, signer: letterOf(id), name: null, into: null, first_frame: 0, frames: 0 };
  const track = new Track(raw, CLASSES.map(() => new Uint8Array()), [0, 1, 2, 3].map(() => new Int16Array()), [new Uint8Array()], []);
  tracks.push(track);
  tracks.sort((a, b) => a.id - b.id);
  return track;
}

/** The signers that lanes are shown for: those that were not joined to another. */
const signers = () => tracks.filter((track) => track.into === null);

/** Of a signer and those that were joined to it, the one that was seen at a frame. */
function seenAs(track, frame) {
  if (track.box(frame)) return track;
  return tracks.find((other) => other.into === track.id && other.box(frame)) || track;
}
const trackOf = (id) => tracks.find((track) => track.id === id);
