// The page in one file: its files stand in it as blocks of text, gzip in letters of seven bits, unpacked when they are read.
{
  const blocks = new Map(Array.from(document.querySelectorAll("script[data-name]"), (one) => [one.dataset.name, one]));

  const lost = [0, 13, 60]; // letters that no page keeps: each is written as one with the next

  function bytesOf(text, size) {
    const bytes = new Uint8Array(size);
    let [bits, held, at] = [0, 0, 0];
    const put = (letter) => {
      bits = ((bits << 7) | letter) & 0x7fff;
      held += 7;
      if (held >= 8) bytes[at++] = bits >> (held -= 8);
    };
    for (let i = 0; i < text.length; i++) {
      const code = text.charCodeAt(i);
      if (code >= 128) put(lost[(code >> 7) - 1]);
      put(code & 127);
    }
    return bytes;
  }

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
    const unpacked = new Blob([bytesOf(block.textContent, Number(block.dataset.size))]).stream().pipeThrough(new DecompressionStream("gzip"));
    return together(new Uint8Array(await new Response(unpacked).arrayBuffer()), Number(block.dataset.planes));
  };
  openPage([...blocks.keys()], read, null, document.currentScript.nonce).catch((error) => {
    document.getElementById("loaded").textContent = "This page did not open: " + String(error);
  });
}
