import { OPS } from "./ops.js";

self.addEventListener("message", ({ data: { id, op, values } }) => {
  try {
    const { result, transfer } = OPS[op](values);
    self.postMessage({ id, result }, transfer);
  } catch (error) {
    self.postMessage({ id, error: String(error?.message ?? error) });
  }
});
