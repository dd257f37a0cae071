// Calls of the gateway. Each gives the JSON of the reply, or throws a `Trouble` that says what is wrong.
//
// The key travels in the header Authorization and nowhere else: never in an address, since addresses end up
// in logs and histories.

import { key } from "./session.js";

const PATIENCE_MS = 65_000; // longer than the gateway's longest time-out, so that its word comes first

/** What went wrong: `status` as HTTP has it, 0 if the gateway did not answer, -1 if it was too slow. */
export class Trouble extends Error {
  constructor(status, problem = {}, retryAfterS = null) {
    super(problem.detail || problem.title || `HTTP ${status}`);
    this.status = status;
    this.title = problem.title ?? "";
    this.detail = problem.detail ?? "";
    this.where = problem.where ?? null;
    this.errors = Array.isArray(problem.errors) ? problem.errors : [];
    this.retryAfterS = retryAfterS;
  }
}

const listeners = new Set();
let renewed = async () => false;

/** Has `ask` called if the gateway refuses the key. If it gives true, the call is made again with the new key. */
export const onKeyRefused = (ask) => {
  renewed = ask;
};

/** Calls `listener(reached)` after each call: whether the gateway answered at all. */
export const onReached = (listener) => listeners.add(listener);
const tell = (reached) => listeners.forEach((listener) => listener(reached));

/**
 * One call. `options`: json (a body), body and type (a body as it is), headers, patience_ms, signal.
 * Gives the reply's JSON.
 */
export async function call(method, path, options = {}) {
  const response = await accepted(method, path, options);
  return response.status === 204 ? null : response.json();
}

/** The same as a stream of bytes, for server-sent events. */
export async function stream(path, headers, signal) {
  return (await accepted("GET", path, { headers, signal, patience_ms: 0 })).body;
}

// A key may run out, or be taken away, while somebody writes: nothing was done then, and nothing is lost if the same
// person gives another one. Who asks for v1/me sees to it itself.
async function accepted(method, path, options) {
  let response = await request(method, path, options);
  if (response.status === 401 && path !== "v1/me" && (await renewed())) response = await request(method, path, options);
  if (!response.ok) throw await troubleOf(response);
  return response;
}

async function request(method, path, { json, body, type, headers = {}, patience_ms = PATIENCE_MS, signal }) {
  const sent = new Headers(headers);
  if (key() && !sent.has("Authorization")) sent.set("Authorization", `Bearer ${key()}`);
  if (json !== undefined) sent.set("Content-Type", "application/json");
  if (type) sent.set("Content-Type", type);
  const signals = [signal, patience_ms ? AbortSignal.timeout(patience_ms) : null].filter(Boolean);
  try {
    const response = await fetch(path, {
      method,
      headers: sent,
      body: json === undefined ? body : JSON.stringify(json),
      signal: signals.length ? AbortSignal.any(signals) : undefined,
      cache: "no-store",
      credentials: "omit",
      redirect: "error",
    });
    tell(true);
    return response;
  } catch (error) {
    if (signal?.aborted) throw error; // we ended it ourselves
    if (error.name === "TimeoutError") throw new Trouble(-1);
    tell(false);
    throw new Trouble(0);
  }
}

async function troubleOf(response) {
  const seconds = Number.parseFloat(response.headers.get("Retry-After") ?? "");
  let problem = {};
  try {
    problem = await response.json();
  } catch {
    // Something between us and the gateway answered, and not in JSON: the status must do.
  }
  return new Trouble(response.status, problem ?? {}, Number.isFinite(seconds) ? Math.max(0, seconds) : null);
}

/** Waits; ends early if `signal` fires. */
export const pause = (ms, signal) =>
  new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    signal?.addEventListener("abort", () => (clearTimeout(timer), resolve()), { once: true });
  });

/** "0=41,1=39": the header Hurnet-After of these watermarks. */
export const after = (watermarks) =>
  Object.entries(watermarks ?? {})
    .map(([partition, offset]) => `${partition}=${offset}`)
    .join(",");

/** A name for a request, by which the gateway knows a second try. (crypto.randomUUID is not there on plain HTTP.) */
export const requestName = () =>
  Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
