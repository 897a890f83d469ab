// The page in one file: its files stand in it as blocks of text, gzip in base64, unpacked when they are read.
{
  const blocks = new Map(Array.from(document.querySelectorAll("script[data-name]"), (one) => [one.dataset.name, one]));

  // All first bytes of numbers stand first, then all second ones.
  function together(bytes, count) {
    if (count === 1) return bytes.buffer;
    const [made, each] = [bytes.slice(), Math.floor(bytes.length / count)];
    for (let plane = 0; plane < count; plane++) {
      for (let i = 0; i < each; i++) made[i * count + plane] = bytes[plane * each + i];
    }
    return made.buffer;
  }

  const read = async (name) => {
    const block = blocks.get(name);
    if (!block) return undefined;
    const unpacked = new Blob([Uint8Array.from(atob(block.textContent), (letter) => letter.charCodeAt(0))]).stream().pipeThrough(new DecompressionStream("gzip"));
    return together(new Uint8Array(await new Response(unpacked).arrayBuffer()), Number(block.dataset.planes));
  };
  openPage([...blocks.keys()], read, document.currentScript.nonce).catch((error) => {
    document.getElementById("loaded").textContent = "This page did not open: " + String(error);
  });
}
