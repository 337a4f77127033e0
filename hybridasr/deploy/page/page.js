// Owns the page: buttons, files and the command list to sessions; their events to what is shown.

import {Session} from "./session.js";
import {Spectrogram} from "./spectrogram.js";
import {changeLanguage, quote, say, showLanguage, tell} from "./texts.js";

const MOST_SHOWN = 50; // results
const FILE_RATE = 16000;
// As it is: models learn from sound that nobody has mended.
const SOUND = {channelCount: 1, echoCancellation: false, noiseSuppression: false,
  autoGainControl: false};
const place = (id) => document.getElementById(id);
const spectrogram = new Spectrogram(place("spectrogram"));
let threshold = null;
let live = null; // {session, audio, stream} of the microphone
let trial = null; // the session that tells whether the command list is good
let typing = 0; // the timer of the command list
let results = []; // events, the newest first

function token() {
  return place("token").value.trim() || sessionStorage.getItem("token") || "";
}

function config(sampleRate) {
  return {sample_rate: sampleRate, nbest: 3, commands: place("commands").value};
}

function handlers(over = {}) {
  return {
    ready: showReady,
    refused: showRefused,
    partial: (text) => { place("partial").textContent = text; },
    result: showResult,
    closed: (line) => showEnd(line, "gone"),
    ...over,
  };
}

function showReady(state) {
  threshold = state.threshold;
  place("commands").removeAttribute("aria-invalid");
  if (state.commands === 0) tell(place("commands-state"), "ready_graph");
  else {
    tell(place("commands-state"), "ready", state.commands,
      Math.max(1, Math.round(1000 * state.seconds)));
  }
}

// Why the connection has ended: what the server said, or a text of the page.
function showEnd(line, key, ...values) {
  if (line) quote(place("status"), line);
  else tell(place("status"), key, ...values);
}

function showRefused(line) {
  if (/\bcommands?\b/.test(line)) {
    place("commands").setAttribute("aria-invalid", "true");
    quote(place("commands-state"), line);
  } else {
    quote(place("status"), line);
  }
}

function showResult(event) {
  place("partial").textContent = "";
  for (const {word, start, end} of event.result) {
    spectrogram.word(word, start, end, event.accepted);
  }
  describeSpectrogram();
  if (event.reason === "no-speech") return;
  place("nothing").hidden = true;
  results = [{event, threshold}, ...results].slice(0, MOST_SHOWN);
  place("results").prepend(resultItem(results[0]));
  while (place("results").children.length > MOST_SHOWN) place("results").lastChild.remove();
}

function describeSpectrogram() {
  const words = spectrogram.words.map((one) => one.text).join(" ");
  place("spectrogram").setAttribute("aria-label", say(
    "spectrogram", Math.round(spectrogram.span), words || say("no_words")));
}

// The threshold is that of the list with which it was recognised.
function resultItem({event, threshold}) {
  const item = document.createElement("li");
  item.className = event.accepted ? "accepted" : "rejected";
  const line = (name, text) => {
    const paragraph = document.createElement("div");
    paragraph.className = name;
    paragraph.textContent = text;
    item.append(paragraph);
  };
  line("text", event.text || say("silence"));
  const reason = event.reason ? `: ${say("reason_" + event.reason.replaceAll("-", "_"))}` : "";
  line("verdict", say(event.accepted ? "accepted" : "rejected") + reason);
  if (event.confidence === null) {
    if (event.id !== undefined && threshold === null) line("note", say("uncalibrated"));
  } else {
    item.append(confidenceBar(event.confidence, threshold));
    line("note", [say("confidence", Math.round(100 * event.confidence)),
      ...(threshold === null ? [] : [say("threshold", Math.round(100 * threshold))])].join(", "));
  }
  const slots = Object.entries(event.slots ?? {}).map(([name, value]) => `${name} = ${value}`);
  const id = event.id && event.id !== event.text.replaceAll(" ", "") ? [event.id] : [];
  const from = event.start === undefined ? [] : [`${event.start.toFixed(1)}–${event.end.toFixed(1)} s`];
  line("note", [...id, ...slots, ...from].join(" · "));
  const near = event.alternatives.map((one) => one.text).filter(Boolean);
  if (near.length) line("note", say("near", near.join(", ")));
  return item;
}

function confidenceBar(confidence, threshold) {
  // Shapes with attributes: styles in place are not allowed by the page's policy.
  const bar = document.createElement("div");
  bar.className = "bar";
  bar.setAttribute("aria-hidden", "true"); // the note below says it
  const mark = threshold === null ? ""
    : `<rect class="threshold" x="${100 * threshold - 0.5}" width="1" height="10"/>`;
  bar.innerHTML = `<svg viewBox="0 0 100 10" preserveAspectRatio="none"><rect class="sure" `
    + `width="${100 * confidence}" height="10"/>${mark}</svg>`;
  return bar;
}

function showLevel(samples) {
  let power = 0;
  for (const sample of samples) power += sample * sample;
  const level = 10 * Math.log10(power / samples.length + 1e-9);
  place("level").value = Math.max(-60, level);
  place("level").textContent = `${level.toFixed(0)} dB`;
}

async function startMicrophone() {
  if (!navigator.mediaDevices) {
    tell(place("status"), "not_secure");
    return;
  }
  tell(place("status"), "connecting");
  let stream;
  try {
    stream = await navigator.mediaDevices.getUserMedia({audio: SOUND});
  } catch (error) {
    tell(place("status"), "no_microphone", error.message);
    return;
  }
  const audio = new AudioContext();
  await audio.audioWorklet.addModule("capture.js");
  const session = new Session(token(), handlers({closed: (line) => {
    if (live?.session === session) stopMicrophone();
    showEnd(line, "stopped");
  }}));
  live = {session, audio, stream};
  session.configure(config(audio.sampleRate));
  spectrogram.begin(audio.sampleRate);
  const capture = new AudioWorkletNode(audio, "capture");
  capture.port.onmessage = ({data}) => {
    showLevel(data);
    spectrogram.push(data);
    session.hear(data);
    if (session.waiting > 20) tell(place("status"), "behind", Math.round(session.waiting / 10));
  };
  audio.createMediaStreamSource(stream).connect(capture);
  await session.opened;
  showMicrophone();
  tell(place("status"), "listening");
}

function stopMicrophone() {
  const {session, audio, stream} = live;
  live = null;
  for (const track of stream.getTracks()) track.stop();
  audio.close();
  session.end();
  place("level").value = -60;
  showMicrophone();
}

function showMicrophone() {
  place("microphone").setAttribute("aria-pressed", String(live !== null));
  tell(place("microphone"), live ? "stop" : "start");
}

async function recognizeFile(file) {
  tell(place("status"), "reading", file.name);
  let sound;
  try {
    sound = await new OfflineAudioContext(1, 1, FILE_RATE).decodeAudioData(await file.arrayBuffer());
  } catch (error) {
    tell(place("status"), "cannot_read", file.name, error.message);
    return;
  }
  const mixer = new OfflineAudioContext(1, Math.ceil(sound.duration * FILE_RATE), FILE_RATE);
  const source = mixer.createBufferSource();
  source.buffer = sound;
  source.connect(mixer.destination);
  source.start();
  const samples = (await mixer.startRendering()).getChannelData(0);
  const session = new Session(token(), handlers({
    closed: (line) => showEnd(line, "read", file.name)}));
  session.configure(config(FILE_RATE));
  spectrogram.begin(FILE_RATE);
  for (let begin = 0; begin < samples.length; begin += FILE_RATE / 4) {
    const piece = samples.slice(begin, begin + FILE_RATE / 4);
    spectrogram.push(piece);
    showLevel(piece);
    await session.hear(piece);
    await session.drained(4);
  }
  await session.end();
}

function commandsChanged() {
  localStorage.setItem("commands", place("commands").value);
  tell(place("commands-state"), "making");
  if (live) {
    live.session.configure(config(live.audio.sampleRate));
    return;
  }
  // Without a microphone, a session of its own says whether the list is good.
  trial?.end();
  const session = new Session(token(), handlers({
    refused: (line) => { showRefused(line); session.end(); },
    ready: (state) => { showReady(state); session.end(); },
    closed: (line) => { if (line) showRefused(line); }}));
  trial = session;
  session.configure(config(FILE_RATE));
}

async function lookForToken() {
  const headers = token() ? {Authorization: `Bearer ${token()}`} : {};
  const needed = (await fetch("metrics", {headers})).status === 401;
  place("token-section").hidden = !needed && !token();
  if (needed) tell(place("status"), "token_label");
  else commandsChanged();
}

place("language").addEventListener("click", () => {
  changeLanguage();
  describeSpectrogram();
  place("results").replaceChildren(...results.map(resultItem));
});
place("microphone").addEventListener("click", () => (live ? stopMicrophone() : startMicrophone()));
place("file").addEventListener("change", ({target}) => {
  if (target.files.length) recognizeFile(target.files[0]);
  target.value = ""; // so that the same file may be chosen again
});
place("commands").addEventListener("input", () => {
  clearTimeout(typing);
  typing = setTimeout(commandsChanged, 300);
});
place("token").addEventListener("change", () => {
  sessionStorage.setItem("token", place("token").value.trim());
  lookForToken();
});
const drop = document.querySelector(".file");
for (const [kind, over] of [["dragover", true], ["dragleave", false], ["drop", false]]) {
  document.addEventListener(kind, (event) => {
    event.preventDefault();
    drop.classList.toggle("over", over);
    if (kind === "drop" && event.dataTransfer.files.length) recognizeFile(event.dataTransfer.files[0]);
  });
}
place("commands").value = localStorage.getItem("commands") ?? "";
showLanguage();
describeSpectrogram();
lookForToken();
