// Server-sent events over fetch, which EventSource cannot do: it knows neither POST nor a status. Knows nothing of questions.

const SILENCE = 60_000; // milliseconds: twelve of the comments that the server sends when it has nothing else to say

/**
 * Yields {event, data} of a response's body, data parsed as JSON. Ends when the body ends; throws what reading throws. Where
 * nothing comes for long `check()` throws if the server is away: a machine without power closes no connection.
 */
export async function* events(response, check) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  try {
    for (;;) {
      const { value, done } = await unlessSilent(reader.read(), check);
      if (done) return;
      const blocks = (rest + value).split(/\r\n\r\n|\n\n|\r\r/);
      rest = blocks.pop();
      for (const block of blocks) {
        const event = parse(block);
        if (event) yield event;
      }
    }
  } finally {
    await reader.cancel().catch(() => {}); // an aborted body has nothing left to cancel
  }
}

async function unlessSilent(reading, check) {
  for (const last of [false, true]) {
    let timer = null;
    const silence = new Promise((resolve) => { timer = setTimeout(resolve, SILENCE, null); });
    const read = await Promise.race([reading, silence]).finally(() => clearTimeout(timer));
    if (read) return read;
    // After a machine has slept its clock is further, and what was sent is still to be read. Stopping ends the look as well.
    if (!last) await Promise.race([check(), reading]);
  }
  throw new Error("the server is there, and this answer's connection is not");
}

/** One block of lines as {event, data}; null for a comment that only keeps the line open. */
export function parse(block) {
  let event = "message";
  const data = [];
  for (const line of block.split(/\r\n|\n|\r/)) {
    const [, name, value] = /^([^:]*):? ?([^]*)$/.exec(line);
    if (name === "event") event = value;
    if (name === "data") data.push(value);
  }
  return data.length ? { event, data: JSON.parse(data.join("\n")) } : null;
}
