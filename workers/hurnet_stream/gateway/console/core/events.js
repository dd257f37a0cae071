// Server-sent events by fetch, since EventSource can't send the header Authorization.
//
//   event: figures        the kind; lines end with LF or CR LF
//   id: 17                where to go on after a break: sent back as Last-Event-ID
//   data: {"...": ...}    lines of data belong together; a line of ":" alone keeps the connection alive
//                         an empty line ends the event

import { pause, stream } from "./api.js";

const SILENCE_MS = 10_000; // figures come once a second, so a connection that is silent for so long is dead
const LONGEST_WAIT_MS = 10_000;

/**
 * Follows `path` until `signal` fires. `onEvent({kind, data})` is called for each event, with its JSON;
 * `onState` with "connecting", "live" or "lost"; `onRefused(trouble)` once, if trying again has no point.
 */
export async function follow(path, { onEvent, onState, onRefused }, signal) {
  let last = "";
  for (let wait = 500; !signal.aborted; wait = Math.min(wait * 2, LONGEST_WAIT_MS)) {
    onState("connecting");
    try {
      const headers = { Accept: "text/event-stream", ...(last && { "Last-Event-ID": last }) };
      await read(path, headers, signal, (event) => {
        last = event.id || last;
        wait = 500;
        onState("live");
        onEvent(event);
      });
    } catch (trouble) {
      if (signal.aborted) return;
      if ([401, 403, 404].includes(trouble.status)) return onRefused(trouble);
    }
    if (!signal.aborted) onState("lost");
    await pause(wait, signal);
  }
}

async function read(path, headers, signal, onEvent) {
  const silence = new AbortController();
  let timer = setTimeout(() => silence.abort(), SILENCE_MS);
  const either = AbortSignal.any([signal, silence.signal]);
  try {
    const reader = (await stream(path, headers, either)).pipeThrough(new TextDecoderStream()).getReader();
    const parse = parser(onEvent);
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      clearTimeout(timer);
      timer = setTimeout(() => silence.abort(), SILENCE_MS);
      parse(value);
    }
  } finally {
    clearTimeout(timer);
  }
}

/** Gives a function that takes pieces of a stream and calls `onEvent` for each whole event. */
export function parser(onEvent) {
  let rest = "";
  return (piece) => {
    const blocks = (rest + piece).split(/\r?\n\r?\n/);
    rest = blocks.pop();
    for (const block of blocks) {
      const event = { kind: "message", id: "", data: null };
      const data = [];
      for (const line of block.split(/\r?\n/)) {
        const [, field, value] = /^([^:]*):? ?(.*)$/.exec(line);
        if (field === "event") event.kind = value;
        else if (field === "id") event.id = value;
        else if (field === "data") data.push(value);
      }
      if (data.length) onEvent({ ...event, data: JSON.parse(data.join("\n")) });
    }
  };
}
