// The page: a camera or a picture in, for each face a box and seven probabilities out. Nothing is sent anywhere.
import * as ort from "./ort/ort.mjs";
import { detector, network } from "./blaze.js";
import { grey, isFlat, smoothed, turned } from "./faces.js";

// Larger pictures and video frames are reduced to this longer side.
const LARGEST = { picture: 2000, video: 1280 };
const byId = (id) => document.getElementById(id);
const canvas = byId("picture"), context = canvas.getContext("2d");
// The current frame; it is shown with its boxes after classification.
const taken = document.createElement("canvas"), takenContext = taken.getContext("2d", { willReadFrequently: true });
const say = (text) => { if (byId("status").textContent !== text) byId("status").textContent = text; };
const video = Object.assign(document.createElement("video"), { muted: true, playsInline: true });
let opened = 0; // counts what was opened or stopped: only the latest is processed
const PATIENCE = 5000; // milliseconds after which a camera that sends nothing is told of

ort.env.wasm.numThreads = 1;
ort.env.wasm.wasmPaths = { wasm: new URL("ort/ort-wasm-simd-threaded.wasm", location.href).href };

async function fetched(name, as) {
  const response = await fetch(name);
  if (!response.ok) throw new Error(`${name}: the server says ${response.status}; \`make demo\` builds it`);
  return response[as]();
}

async function session(name) {
  return ort.InferenceSession.create(await fetched(name, "arrayBuffer"), { executionProviders: ["wasm"] });
}

const ready = (async () => {
  const about = await fetched("about.json", "json");
  byId("about").textContent = about.text;
  const classifier = await session("model.onnx"), networks = {};
  for (const name in about.networks) {
    networks[name] = network(ort, await session(`${name}.onnx`), about.networks[name], about.blaze);
  }
  say("Ready.");
  return { about, classifier, finder: (moving) => detector(networks, about.blaze, moving) };
})();
const unready = (error) => say(`The networks could not be loaded: ${error.message}. Load the page again.`);
ready.catch(unready);

function take(source, width, height, largest, mirrored = false) {
  const scale = Math.min(1, largest / Math.max(width, height));
  [taken.width, taken.height] = [Math.round(width * scale), Math.round(height * scale)];
  takenContext.imageSmoothingQuality = "high";
  if (mirrored) takenContext.setTransform(-1, 0, 0, 1, taken.width, 0);
  takenContext.drawImage(source, 0, 0, taken.width, taken.height);
}

/** The faces of what was taken: boxes in its pixels and probabilities. One look after the other: a network cannot run
 * twice at once. */
let last = Promise.resolve();
function look(find) {
  const image = takenContext.getImageData(0, 0, taken.width, taken.height);
  const faces = last.catch(() => {}).then(() => named(image, find));
  last = faces;
  return faces;
}

async function named(image, find) {
  const { classifier, about: { side, emotions, blaze, flat: least } } = await ready;
  const boxes = await find(image), n = emotions.length;
  if (!boxes.length) return [];
  const input = new Uint8Array(boxes.length * side ** 2), flat = [];
  boxes.forEach((box, k) => {
    const crop = grey(turned(image, box, blaze.MARGIN * box.side, box.turn, side));
    flat.push(isFlat(crop, least));
    input.set(crop, k * side ** 2);
  });
  const { probabilities } = await classifier.run({ faces: new ort.Tensor("uint8", input, [boxes.length, side, side]) });
  const even = Array(n).fill(1 / n); // nothing is to be seen: no emotion is predicted
  return boxes.map((box, k) => (
    { ...box, flat: flat[k], probabilities: flat[k] ? even : [...probabilities.data.slice(k * n, (k + 1) * n)] }));
}

function show(faces, { emotions, threshold }) {
  [canvas.width, canvas.height] = [taken.width, taken.height];
  context.drawImage(taken, 0, 0);
  const line = Math.max(2, canvas.width / 200);
  [context.lineWidth, context.strokeStyle, context.fillStyle] = [line, "#ffb000", "#ffb000"];
  faces.forEach(({ x, y, side, turn }, k) => {
    context.setTransform(Math.cos(turn), Math.sin(turn), -Math.sin(turn), Math.cos(turn), x, y);
    context.strokeRect(-side / 2, -side / 2, side, side);
    context.font = `600 ${Math.min(8 * line, Math.max(5 * line, side / 3))}px system-ui`;
    if (faces.length > 1) context.fillText(k + 1, -side / 2, -side / 2 - line); // above, so that it covers no face
  });
  const list = byId("faces");
  while (list.children.length > faces.length) list.lastElementChild.remove();
  while (list.children.length < faces.length) list.append(card(emotions));
  const names = faces.map(({ probabilities, flat, x, y, side, turn }, k) => {
    const article = list.children[k], best = probabilities.indexOf(Math.max(...probabilities));
    const name = flat ? "?" : probabilities[best] < threshold ? `${emotions[best]}?` : emotions[best];
    article.dataset.box = [x, y, side, (turn * 180) / Math.PI].map((value) => value.toFixed(1)).join(" ");
    article.querySelector("h2").textContent = faces.length > 1 ? `Face ${k + 1}: ${name}` : name;
    article.querySelectorAll("tr").forEach((row, code) => {
      row.className = code === best && !flat ? "likeliest" : "";
      row.dataset.probability = probabilities[code].toFixed(4);
      row.querySelector("progress").value = probabilities[code];
      row.lastElementChild.textContent = `${Math.round(100 * probabilities[code])} %`;
    });
    return name;
  });
  const count = faces.length === 1 ? "One face" : `${faces.length || "No"} faces`;
  canvas.setAttribute("aria-label", names.length ? `${count}: ${names.join(", ")}` : count);
  return count;
}

function card(emotions) {
  const article = document.createElement("article"), table = document.createElement("table");
  article.append(document.createElement("h2"), table);
  for (const emotion of emotions) {
    const row = table.insertRow(), head = document.createElement("th"), bar = document.createElement("progress");
    head.scope = "row";
    head.textContent = emotion;
    bar.max = 1;
    bar.setAttribute("aria-label", emotion);
    row.append(head);
    row.insertCell().append(bar);
    row.insertCell();
  }
  return article;
}

/** Open something once the networks are there. What goes wrong meanwhile stops it, and is said. */
async function started(name, open) {
  const mine = stop();
  try {
    await ready;
  } catch (error) {
    return unready(error);
  }
  if (mine !== opened) return;
  try {
    await open(mine);
  } catch (error) {
    if (mine === opened) stop(`${name} could not be looked at any further: ${error.message}`);
  }
}

async function openPicture(file, mine) {
  try {
    const { about, finder } = await ready;
    const bitmap = await createImageBitmap(file);
    if (mine !== opened) return;
    take(bitmap, bitmap.width, bitmap.height, LARGEST.picture);
    byId("stage").classList.add("shown");
    show([], about);
    say(`Looking at ${file.name} …`);
    await new Promise((resolve) => setTimeout(resolve, 50)); // so that this is seen
    if (mine !== opened) return;
    const faces = await look(finder(false));
    if (mine === opened) say(`${show(faces, about)} in ${file.name}.`);
  } catch (error) {
    if (mine === opened) say(`${file.name} could not be read as a picture: ${error.message}`);
  }
}

async function openVideo(file, mine) {
  video.src = URL.createObjectURL(file);
  try {
    await video.play();
  } catch (error) {
    if (mine === opened) stop(`${file.name} could not be played: ${error.message}`);
    return;
  }
  if (mine !== opened) return;
  if (!video.videoWidth) return stop(`${file.name} could not be played: it has no picture.`);
  byId("pause").hidden = byId("stop").hidden = false;
  video.onerror = () => { if (mine === opened) stop(`${file.name} could not be played any further: ${video.error.message}`); };
  await watch(mine);
}

async function openCamera(mine) {
  if (!navigator.mediaDevices) {
    return say("Browsers allow the camera only on this machine or over https. A picture or a video works.");
  }
  let stream;
  try {
    stream = await navigator.mediaDevices.getUserMedia({ video: { width: 640, height: 480, facingMode: "user" } });
  } catch (error) {
    return say(`The camera could not be opened (${error.name}). Check that it is connected, free and allowed. A picture works.`);
  }
  if (mine !== opened) return stream.getTracks().forEach((track) => track.stop());
  byId("camera").setAttribute("aria-pressed", "true");
  byId("camera").textContent = "Stop the camera";
  video.srcObject = stream;
  const gone = "The camera has stopped. Check that it is connected and that no other program has it, then use it again.";
  stream.getVideoTracks()[0].onended = () => { if (mine === opened) stop(gone); };
  video.play().catch(() => {}); // it may be stopped, or never begin
  await watch(mine);
}

/** Show what the video element plays, frame by frame, until it is stopped. */
async function watch(mine) {
  const { about, finder } = await ready, find = finder(true);
  byId("stage").classList.add("shown");
  let before = 0, known = [], rate = 0, cost = 0;
  const mixed = (mean, value) => (mean ? 0.9 * mean + 0.1 * value : value);
  for (;;) {
    const late = setTimeout(() => {
      if (mine === opened && video.srcObject) say("The camera sends no picture. Check that it is connected, free and open.");
    }, PATIENCE);
    await new Promise((resolve) => (video.requestVideoFrameCallback ?? requestAnimationFrame).call(
      video.requestVideoFrameCallback ? video : window, resolve));
    clearTimeout(late);
    if (mine !== opened) return;
    if (!video.videoWidth) continue;
    const start = performance.now();
    take(video, video.videoWidth, video.videoHeight, LARGEST.video, !!video.srcObject); // oneself as in a mirror
    const faces = await look(find);
    if (mine !== opened) return;
    known = smoothed(faces, known, (start - before) / 1000, about);
    const count = show(known, about);
    cost = mixed(cost, performance.now() - start);
    if (before) rate = mixed(rate, 1000 / Math.max(1, start - before));
    before = start;
    if (!video.paused) say(`${count}. ${cost.toFixed(0)} ms a frame, ${rate.toFixed(0)} frames a second.`);
  }
}

/** Let go of camera, video and picture; gives the number of what is opened next. */
function stop(text = "") {
  if (video.srcObject) video.srcObject.getTracks().forEach((track) => track.stop());
  if (video.src) URL.revokeObjectURL(video.src);
  video.srcObject = video.onerror = null;
  video.removeAttribute("src");
  video.load();
  byId("camera").setAttribute("aria-pressed", "false");
  byId("camera").textContent = "Use the camera";
  byId("pause").hidden = byId("stop").hidden = true;
  if (text) say(text);
  return ++opened;
}

video.onplay = () => { byId("pause").textContent = "Pause"; };
video.onpause = () => {
  if (byId("pause").hidden) return;
  byId("pause").textContent = video.ended ? "Play again" : "Continue";
  say(video.ended ? "The video is at its end." : "The video is paused.");
};
byId("camera").onclick = () => (video.srcObject ? stop("The camera is off.") : started("The camera", openCamera));
byId("pause").onclick = () => (video.paused ? video.play().catch(() => {}) : video.pause());
byId("stop").onclick = () => stop("The video is stopped.");
const open = (file) => started(
  file.name, (mine) => (file.type.startsWith("video/") ? openVideo(file, mine) : openPicture(file, mine)));
byId("choose").onclick = () => byId("file").click();
byId("file").onchange = ({ target }) => { if (target.files[0]) open(target.files[0]); target.value = ""; };
for (const kind of ["dragover", "dragleave", "drop"]) {
  document.addEventListener(kind, (event) => {
    event.preventDefault();
    byId("stage").classList.toggle("over", kind === "dragover");
    const file = kind === "drop" && event.dataTransfer.files[0];
    if (file) open(file);
  });
}
