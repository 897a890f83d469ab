// The explorer's page inside a notebook: the same files, handed over by the kernel, in a frame of their own that can
// reach nothing else, neither the notebook nor the network. What the page would ask its server for is answered here.

const FRAME = `<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; script-src 'unsafe-inline' blob:; style-src 'unsafe-inline'; img-src data: blob:; base-uri 'none'; form-action 'none'">
<meta name="color-scheme" content="light dark"><title>latens explorer</title></head>
<body><main id="start"></main><div id="explorer"></div>
<script>
"use strict";
/* page.js */
addEventListener("message", async ({ data, ports: [port] }) => {
  const files = new Map(Object.entries(data.files));
  const waiting = new Map();
  let count = 0;
  port.onmessage = ({ data: { id, body, error } }) => {
    const { resolve } = waiting.get(id);
    waiting.delete(id);
    resolve(error ? new Response(error, { status: 500 }) : new Response(body));
  };
  const compute = (name, body) => {
    const id = ++count;
    const answer = new Promise((resolve) => waiting.set(id, { resolve }));
    port.postMessage({ id, name, body });
    return answer;
  };
  history.replaceState = () => {}; // the address of a frame like this one cannot say what it shows
  await openPage([...files.keys()], async (name) => files.get(name), compute, "");
}, { once: true });
</script></body></html>`;

export default {
  render({ model, el }) {
    const frame = document.createElement("iframe");
    frame.title = "latens explorer";
    frame.setAttribute("sandbox", "allow-scripts allow-downloads");
    Object.assign(frame.style, { width: "100%", height: `${model.get("height")}px`, border: "0", display: "block" });
    const { port1: port, port2: other } = new MessageChannel();
    port.onmessage = ({ data: { id, name, body } }) => model.send({ kind: name, id }, undefined, [new DataView(body)]);
    const answer = (content, buffers) => {
      if (content.kind !== "computed") return;
      const view = buffers?.[0];
      const body = view && view.buffer.slice(view.byteOffset, view.byteOffset + view.byteLength);
      port.postMessage({ id: content.id, body, error: content.error });
    };
    model.on("msg:custom", answer);
    frame.addEventListener("load", () => {
      // The frame has no origin that could be named; it is ours, and it is given nothing but what it shows.
      frame.contentWindow.postMessage({ files: model.get("files") }, "*", [other]);
    }, { once: true });
    frame.srcdoc = FRAME;
    el.append(frame);
    return () => {
      model.off("msg:custom", answer);
      port.close();
    };
  },
};
