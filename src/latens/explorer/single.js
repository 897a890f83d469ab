// The page in one file: its files stand in it as blocks of text, gzip in base64, unpacked when they are read.
{
  const blocks = new Map(Array.from(document.querySelectorAll("script[data-name]"), (one) => [one.dataset.name, one]));

  const read = async (name) => {
    const block = blocks.get(name);
    if (!block) return undefined;
    const unpacked = new Blob([Uint8Array.from(atob(block.textContent), (letter) => letter.charCodeAt(0))]).stream().pipeThrough(new DecompressionStream("gzip"));
    return new Response(unpacked).arrayBuffer();
  };
  openPage([...blocks.keys()], read, document.currentScript.nonce).catch((error) => {
    document.getElementById("loaded").textContent = "This page did not open: " + String(error);
  });
}
