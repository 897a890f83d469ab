// What the server that gave this page computes: decoders that a browser does not, and columns given other columns.

const MOST_BYTES = 1 << 20; // what the server takes at once

const little = new Uint8Array(new Uint32Array([1]).buffer)[0] === 1;

// The body: n rows of float32 numbers, little-endian; of a conditional model the code of the class ends each row.
function bodyOf(z, codes, from, to, size, classes) {
  const width = size + (classes ? 1 : 0);
  const view = new DataView(new ArrayBuffer(4 * width * (to - from)));
  let at = 0;
  const put = (value) => {
    view.setFloat32(at, value, true);
    at += 4;
  };
  for (let k = from; k < to; k++) {
    for (let i = 0; i < size; i++) put(z[k * size + i]);
    if (classes) put(typeof codes === "number" ? codes : codes[k]);
  }
  return view.buffer;
}

function floats(buffer) {
  if (little) return new Float32Array(buffer);
  const view = new DataView(buffer);
  return Float32Array.from({ length: buffer.byteLength / 4 }, (_, i) => view.getFloat32(4 * i, true));
}

async function post(name, kind, body) {
  let response;
  try {
    response = await fetch(name, { method: "POST", headers: { "Content-Type": kind }, body });
  } catch {
    throw new Error("nothing was computed: the server does not respond.");
  }
  if (response.ok) return response;
  throw new Error(`nothing was computed: the server says ${response.status}, ${(await response.text()).trim().slice(0, 200)}.`);
}

// z holds n latents one after another, codes the class of each (or one for all); the result holds n events, in the units
// of the data. `classes` is the number of classes of a conditional model, else 0.
export async function decodeOnServer(z, n = 1, codes = 0, classes = 0) {
  const size = z.length / n;
  const most = Math.max(1, Math.floor(MOST_BYTES / (4 * (size + (classes ? 1 : 0)))));
  const parts = [];
  for (let from = 0; from < n; from += most) {
    const body = bodyOf(z, codes, from, Math.min(from + most, n), size, classes);
    parts.push(floats(await (await post("decode", "application/octet-stream", body)).arrayBuffer()));
  }
  if (parts.length === 1) return parts[0];
  const all = new Float32Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

// What the free columns may be; `given` holds pairs of a column and the value that it is fixed to. `row` holds the
// stored cells of a row that they change.
export async function askGiven(question) {
  const body = new TextEncoder().encode(JSON.stringify(question)).buffer;
  return (await post("given", "application/json", body)).json();
}
