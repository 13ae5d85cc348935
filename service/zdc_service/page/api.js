// Requests to the server of this page, and messages for its errors. Paths are relative to the page, because a proxy may
// add a prefix.

const TOKEN = "zdc-token";
const TOKEN_FORM = /^[A-Za-z0-9\-._~+/]+=*$/;

/** An error with a message for the visitor. */
export class Problem extends Error {
  /** `kind`: the server's kind of error; `again`: whether a retry may succeed; `retryAfter`: seconds, null if unknown. */
  constructor(kind, message, again = false, retryAfter = null) {
    super(message);
    Object.assign(this, { kind, again, retryAfter });
  }
}

export const token = {
  known: () => sessionStorage.getItem(TOKEN) !== null,
  forget: () => sessionStorage.removeItem(TOKEN),
  /** Keep a token for this tab; returns false if the text has other characters than a token can have. */
  keep(text) {
    const trimmed = text.trim();
    if (!TOKEN_FORM.test(trimmed)) return false;
    sessionStorage.setItem(TOKEN, trimmed);
    return true;
  },
};

function headers(given = {}) {
  const kept = sessionStorage.getItem(TOKEN);
  return kept === null ? given : { ...given, Authorization: `Bearer ${kept}` };
}

async function answerOf(path, options) {
  let reply;
  try {
    reply = await fetch(path, { ...options, headers: headers(options.headers), cache: "no-store" });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem("no_answer", `No answer from ${location.origin}: is the server running?`, true);
  }
  if (reply.ok) return reply.json();
  throw await problemOf(reply);
}

async function problemOf(reply) {
  const body = await reply.json().catch(() => null);
  const kind = body?.error?.kind ?? "unknown";
  const said = (body?.error?.message ?? `the server answered ${reply.status}`).replace(/^particle\[0\]: /, "");
  const wait = Number(reply.headers.get("Retry-After")) || null;
  const openings = {
    401: "This server needs a token",
    404: "The model is not loaded any more; reload the page",
    413: "The request is too large",
    422: "The server cannot simulate this",
    429: "The server is busy",
    503: "The server accepts no new requests",
    504: "The server could not answer in time",
  };
  const opening = openings[reply.status] ?? `The server answered ${reply.status}`;
  if (reply.status === 401 && !token.known()) return new Problem(kind, `${opening}: enter one above.`);
  return new Problem(kind, `${opening}: ${said}.`, reply.status === 429 || reply.status >= 500, wait);
}

export const get = (path, signal) => answerOf(path, { signal });

/** Send the text of a request without any change. */
export const simulate = (text, signal) =>
  answerOf("simulate", { method: "POST", body: text, headers: { "Content-Type": "application/json" }, signal });

/** Geant4 responses of the test particle that is nearest to a choice. */
export function nearest(calorimeter, { pdg, energy, x, y }, signal) {
  const query = new URLSearchParams({ calorimeter, pdg, energy, x, y });
  return get(`examples/nearest?${query}`, signal);
}
