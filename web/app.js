// The page: a camera or a picture in, for each face a box and seven probabilities out. Nothing is sent anywhere.
import * as ort from "./ort/ort.mjs";
import { covered, cutOut, greyOf } from "./faces.js";
import { detector } from "./haar.js";

// How wide a frame is made before faces are looked for, and the side of the smallest that is found then.
const SEARCHED = { camera: { width: 320, smallest: 32 }, picture: { width: 1280, smallest: 20 } };
// As in fer_lib.live: seconds in which what a face showed before falls to 1/e, and the confidence from which an emotion is predicted.
const SMOOTHING = 0.3, SURE = 0.5;
const byId = (id) => document.getElementById(id);
const canvas = byId("picture"), context = canvas.getContext("2d");
// What is looked at; it is shown when it has been, with the boxes.
const taken = document.createElement("canvas"), takenContext = taken.getContext("2d", { willReadFrequently: true });
const say = (text) => { if (byId("status").textContent !== text) byId("status").textContent = text; };
const video = Object.assign(document.createElement("video"), { muted: true, playsInline: true });
let stream = null, known = [];

ort.env.wasm.numThreads = 1;
ort.env.wasm.wasmPaths = { wasm: new URL("ort/ort-wasm-simd-threaded.wasm", location.href).href };

async function fetched(name, as) {
  const response = await fetch(name);
  if (!response.ok) throw new Error(`${name}: the server says ${response.status}; \`make demo\` builds it`);
  return response[as]();
}

const ready = (async () => {
  const [model, cascade, about] = await Promise.all([
    fetched("model.onnx", "arrayBuffer"), fetched("cascade.json", "json"), fetched("about.json", "json"),
  ]);
  const session = await ort.InferenceSession.create(model, { executionProviders: ["wasm"] });
  byId("about").textContent = about.text;
  say("Ready.");
  const detect = Object.fromEntries(Object.keys(SEARCHED).map((kind) => [kind, detector(cascade, SEARCHED[kind])]));
  return { session, detect, about };
})();
ready.catch((error) => say(`The network could not be loaded: ${error.message}`));

/** The faces of what was taken: boxes in its pixels and probabilities. */
async function look(kind) {
  const { session, detect, about } = await ready;
  const { width, height } = taken, grey = greyOf(takenContext.getImageData(0, 0, width, height));
  const scale = Math.max(1, width / SEARCHED[kind].width), w = Math.round(width / scale), h = Math.round(height / scale);
  const searched = scale > 1 ? covered(grey, width, height, 0, 0, width, height, w, h) : grey;
  const boxes = detect[kind](searched, w, h).map((box) => ({ x: box.x * scale, y: box.y * scale, side: box.side * scale }));
  if (!boxes.length) return [];
  const input = new Uint8Array(boxes.length * about.side ** 2);
  boxes.forEach((box, k) => input.set(cutOut(grey, width, height, box, about.margin, about.side), k * about.side ** 2));
  const faces = new ort.Tensor("uint8", input, [boxes.length, about.side, about.side]);
  const { probabilities } = await session.run({ faces });
  const n = about.emotions.length;
  return boxes.map((box, k) => ({ ...box, probabilities: [...probabilities.data.slice(k * n, (k + 1) * n)] }));
}

/** What was known of the same faces a moment ago is averaged in: a face is the same where most of its box is. */
function smoothed(faces, seconds) {
  const old = Math.exp(-seconds / SMOOTHING);
  known = faces.map((face) => {
    const before = known.find((other) => Math.abs(other.x + other.side / 2 - face.x - face.side / 2) < face.side / 3 &&
      Math.abs(other.y + other.side / 2 - face.y - face.side / 2) < face.side / 3);
    const mixed = (p, k) => (before ? old * before.probabilities[k] + (1 - old) * p : p);
    return { ...face, probabilities: face.probabilities.map(mixed) };
  });
  return known;
}

function show(faces, emotions) {
  [canvas.width, canvas.height] = [taken.width, taken.height];
  context.drawImage(taken, 0, 0);
  const line = Math.max(2, canvas.width / 200);
  faces.forEach(({ x, y, side }, k) => {
    context.lineWidth = line;
    context.strokeStyle = "#ffb000";
    context.strokeRect(x, y, side, side);
    context.font = `600 ${8 * line}px system-ui`;
    context.fillStyle = "#ffb000";
    if (faces.length > 1) context.fillText(k + 1, x + 2 * line, y + 9 * line);
  });
  const list = byId("faces");
  while (list.children.length > faces.length) list.lastElementChild.remove();
  while (list.children.length < faces.length) list.append(card(emotions));
  const names = faces.map(({ probabilities, x, y, side }, k) => {
    const article = list.children[k], best = probabilities.indexOf(Math.max(...probabilities));
    const name = probabilities[best] < SURE ? `${emotions[best]}?` : emotions[best];
    article.dataset.box = [x, y, side].map((value) => value.toFixed(1)).join(" ");
    article.querySelector("h2").textContent = faces.length > 1 ? `Face ${k + 1}: ${name}` : name;
    article.querySelectorAll("tr").forEach((row, code) => {
      row.className = code === best ? "likeliest" : "";
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

async function openPicture(file) {
  stop();
  try {
    const { about } = await ready;
    const bitmap = await createImageBitmap(file);
    const scale = Math.min(1, 2000 / Math.max(bitmap.width, bitmap.height));
    taken.width = Math.round(bitmap.width * scale);
    taken.height = Math.round(bitmap.height * scale);
    takenContext.drawImage(bitmap, 0, 0, taken.width, taken.height);
    byId("stage").classList.add("shown");
    show([], about.emotions);
    say(`Looking at ${file.name} …`);
    await new Promise((resolve) => setTimeout(resolve)); // so that this is seen
    const count = show(await look("picture"), about.emotions);
    say(`${count} in ${file.name}.`);
  } catch (error) {
    say(`${file.name} could not be read as a picture: ${error.message}`);
  }
}

async function openCamera() {
  const { about } = await ready;
  if (!navigator.mediaDevices) {
    return say("Browsers give the camera only to pages of this machine or over https. A picture works.");
  }
  try {
    stream = await navigator.mediaDevices.getUserMedia({ video: { width: 640, height: 480, facingMode: "user" } });
  } catch (error) {
    return say(`The camera could not be opened (${error.name}). Is it there, free, and allowed? A picture works.`);
  }
  byId("camera").setAttribute("aria-pressed", "true");
  byId("camera").textContent = "Stop the camera";
  byId("stage").classList.add("shown");
  video.srcObject = stream;
  await video.play();
  known = [];
  let before = performance.now(), rate = 0;
  for (const mine = stream; stream === mine;) {
    await new Promise((resolve) => (video.requestVideoFrameCallback ?? requestAnimationFrame).call(
      video.requestVideoFrameCallback ? video : window, resolve));
    if (stream !== mine) break;
    const start = performance.now();
    [taken.width, taken.height] = [video.videoWidth, video.videoHeight];
    takenContext.setTransform(-1, 0, 0, 1, taken.width, 0); // as in a mirror
    takenContext.drawImage(video, 0, 0);
    const faces = await look("camera");
    if (stream !== mine) break;
    const count = show(smoothed(faces, (start - before) / 1000), about.emotions);
    rate = 0.9 * rate + 0.1 * (1000 / Math.max(1, start - before));
    before = start;
    say(`${count}. ${(performance.now() - start).toFixed(0)} ms a frame, ${rate.toFixed(0)} frames a second.`);
  }
}

function stop() {
  if (!stream) return;
  stream.getTracks().forEach((track) => track.stop());
  stream = null;
  byId("camera").setAttribute("aria-pressed", "false");
  byId("camera").textContent = "Use the camera";
  say("The camera is off.");
}

byId("camera").onclick = () => (stream ? stop() : openCamera());
byId("choose").onclick = () => byId("file").click();
byId("file").onchange = ({ target }) => { if (target.files[0]) openPicture(target.files[0]); target.value = ""; };
for (const kind of ["dragover", "dragleave", "drop"]) {
  document.addEventListener(kind, (event) => {
    event.preventDefault();
    byId("stage").classList.toggle("over", kind === "dragover");
    const file = kind === "drop" && event.dataTransfer.files[0];
    if (file) openPicture(file);
  });
}
