// The browser's half of widget.py: sends the camera's frames one by one, and draws what comes back over them.
function render({ model, el }) {
  const button = Object.assign(document.createElement("button"), { type: "button", textContent: "Start the camera" });
  const status = document.createElement("p"), canvas = document.createElement("canvas");
  status.setAttribute("role", "status");
  canvas.setAttribute("role", "img");
  canvas.style.maxWidth = "100%";
  el.append(button, status, canvas);
  const context = canvas.getContext("2d"), video = Object.assign(document.createElement("video"), { muted: true });
  const kept = document.createElement("canvas");
  let stream = null, late = 0;

  // Until something comes, this long at most, before it is said: milliseconds.
  function wait(text) {
    clearTimeout(late);
    late = setTimeout(() => { if (stream) status.textContent = text; }, 5000);
  }

  function send() {
    if (!video.videoWidth) return stop("The camera sends no picture.");
    [kept.width, kept.height] = [video.videoWidth, video.videoHeight];
    const mirrored = kept.getContext("2d");
    mirrored.setTransform(-1, 0, 0, 1, kept.width, 0);
    mirrored.drawImage(video, 0, 0);
    kept.toBlob(async (blob) => {
      const content = await blob?.arrayBuffer();
      if (!stream) return;
      if (!content) return stop("The camera's picture could not be read.");
      model.send({ time: performance.now() / 1000 }, undefined, [content]);
      wait("The kernel does not answer. It may be busy with another cell, or have to be started again.");
    }, "image/jpeg", 0.9);
  }

  function draw({ faces, error }) {
    if (!stream) return;
    if (error) return stop(`The kernel could not look at the picture: ${error}`);
    [canvas.width, canvas.height] = [kept.width, kept.height]; // this clears it
    context.drawImage(kept, 0, 0);
    const line = Math.max(2, canvas.width / 200);
    context.font = `600 ${7 * line}px system-ui`;
    const texts = faces.map(({ box: [x, y, width, height], turn, track, top2: [[name, probability], [second]], abstained }) => {
      context.lineWidth = line;
      context.strokeStyle = context.fillStyle = abstained ? "#9aa5b1" : "#ffb000";
      context.save();
      context.translate(x + width / 2, y + height / 2);
      context.rotate((turn * Math.PI) / 180);
      context.strokeRect(-width / 2, -height / 2, width, height);
      context.restore();
      const text = `${track}: ${name}${abstained ? "?" : ""} ${Math.round(100 * probability)} %`;
      context.fillText(text, x, Math.max(8 * line, y - 2 * line));
      return `${text}, then ${second}`;
    });
    status.textContent = texts.join("; ") || "No face";
    canvas.setAttribute("aria-label", status.textContent);
    send();
  }

  function stop(text) {
    stream?.getTracks().forEach((track) => track.stop());
    stream = null;
    clearTimeout(late);
    button.textContent = "Start the camera";
    status.textContent = text;
  }

  button.onclick = async () => {
    if (stream) return stop("The camera is off.");
    try {
      stream = await navigator.mediaDevices.getUserMedia({ video: { width: 640, height: 480 } });
    } catch (error) {
      return stop(`The camera could not be opened (${error.name}).`);
    }
    button.textContent = "Stop the camera";
    const mine = stream;
    stream.getVideoTracks()[0].onended = () => {
      if (stream === mine) stop("The camera has stopped. Check that it is connected and that no other program has it.");
    };
    video.srcObject = stream;
    wait("The camera sends no picture. Check that it is connected, free and open.");
    try {
      await video.play();
    } catch {
      return; // it was stopped meanwhile
    }
    if (stream === mine) send();
  };
  model.on("msg:custom", draw);
  return () => {
    model.off("msg:custom", draw);
    stop("");
  };
}

export default { render };
