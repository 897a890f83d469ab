// The page in one file: its files stand in it as blocks of text, base64 of gzip, unpacked when they are read.
{
  const blocks = new Map(Array.from(document.querySelectorAll("script[data-name]"), (one) => [one.dataset.name, one]));
  const read = async (name) => {
    const block = blocks.get(name);
    if (!block) return undefined;
    const packed = Uint8Array.from(atob(block.textContent), (letter) => letter.charCodeAt(0));
    return new Response(new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"))).arrayBuffer();
  };
  openPage([...blocks.keys()], read, null, document.currentScript.nonce).catch((error) => {
    document.getElementById("loaded").textContent = "This page did not open: " + String(error);
  });
}
