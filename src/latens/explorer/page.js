// The page without a server: read(name) gives the bytes of one of its files, undefined where there is none. What the
// page would ask a server for is answered here, and its modules get addresses of their own.
async function openPage(names, read, nonce) {
  globalThis.fetch = async (name) => {
    const body = await read(name);
    return body === undefined ? new Response("", { status: 404 }) : new Response(body);
  };
  const text = async (name) => new TextDecoder().decode(await read(name));
  const style = document.createElement("style");
  style.nonce = nonce;
  style.textContent = await text("style.css");
  const imports = {};
  for (const name of names.filter((one) => one.endsWith(".js"))) {
    imports["latens/" + name] = URL.createObjectURL(new Blob([await text(name)], { type: "text/javascript" }));
  }
  const map = document.createElement("script");
  map.type = "importmap";
  map.nonce = nonce;
  map.textContent = JSON.stringify({ imports });
  document.head.append(style, map);
  await import("latens/app/main.js");
}
