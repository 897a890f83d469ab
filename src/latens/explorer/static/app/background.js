// Work off the main thread. Where a page cannot start a worker, the same work is done here.

let worker = null;
let here = null;
let next = 1;
const waiting = new Map();

export async function start() {
  try {
    worker = new Worker(new URL("./worker.js", import.meta.url), { type: "module" });
    worker.addEventListener("message", ({ data: { id, result, error } }) => {
      const { resolve, reject } = waiting.get(id);
      waiting.delete(id);
      if (error === undefined) resolve(result);
      else reject(new Error(error));
    });
    worker.addEventListener("error", async () => {
      worker = null;
      const pending = [...waiting.values()];
      waiting.clear();
      here = await import("./ops.js");
      for (const { again, resolve, reject } of pending) again().then(resolve, reject);
    });
  } catch {
    here = await import("./ops.js");
  }
}

export async function ask(op, values = {}, transfer = []) {
  if (!worker) {
    here ??= await import("./ops.js");
    return here.OPS[op](values).result;
  }
  const id = next++;
  return new Promise((resolve, reject) => {
    // What was handed over is gone from here, so that only what was copied can be asked for again.
    const again = transfer.length
      ? () => Promise.reject(new Error("the worker of this page stopped."))
      : () => ask(op, values);
    waiting.set(id, { resolve, reject, again });
    worker.postMessage({ id, op, values }, transfer);
  });
}
