// Arrays of a .safetensors file by name. The header is believed only where it fits the bytes.
// https://huggingface.co/docs/safetensors

const TYPES = { F32: Float32Array, F64: Float64Array, I32: Int32Array, U32: Uint32Array, U8: Uint8Array };

export function readSafetensors(buffer) {
  const bytes = new Uint8Array(buffer);
  if (bytes.length < 8) throw new Error("the model file is too short.");
  const length = Number(new DataView(buffer).getBigUint64(0, true));
  if (length > bytes.length - 8) throw new Error("the model file is damaged: its header does not fit.");
  const header = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes.subarray(8, 8 + length)));
  const arrays = new Map();
  for (const [name, entry] of Object.entries(header)) {
    if (name === "__metadata__") continue;
    const Type = TYPES[entry.dtype];
    if (!Type) continue; // what a decoder does not use
    const [begin, end] = entry.data_offsets;
    const count = entry.shape.reduce((a, b) => a * b, 1);
    if (8 + length + end > bytes.length || end - begin !== count * Type.BYTES_PER_ELEMENT) {
      throw new Error(`the model file is damaged at ${name}.`);
    }
    // A copy, because an array in the file need not begin at a multiple of its own item size.
    const data = new Type(buffer.slice(8 + length + begin, 8 + length + end));
    arrays.set(name, { shape: entry.shape, data });
  }
  return arrays;
}
