// How the client speaks to Paydesk: one request with its headers, its repeats, and the errors it can end in.

const environment = globalThis.process?.env ?? {};

/** The version of Stripe's API that front ends name; the environment may name another. */
export const STRIPE_API_VERSION = environment.STRIPE_API_VERSION || "2023-10-16";

/** Whether requests are told to the console: STRIPE_DEBUG=true, without keys and bodies. */
export const STRIPE_DEBUG = environment.STRIPE_DEBUG === "true";

const TIMEOUT_MS = 20_000;
const RETRIES = 2;
const WAIT_MS = 400;
const WAIT_MS_MAX = 20_000;
const UNDER_WAY = "idempotency_key_in_use"; // the answer to a repeat while the first request is still being worked on
const UNDER_WAY_MS = 1000;
const UNDER_WAY_MS_MAX = 60_000;
const AGAIN = new Set([0, 429, 502, 503, 504]); // no answer, not now, or a proxy that had none
const WRITES = new Set(["POST", "PATCH", "DELETE"]);

/** What Paydesk refused, or that it could not be reached: then `code` is "connection" or "timeout", and `status` 0. */
export class PaydeskError extends Error {
  constructor(fields, options) {
    super(fields.message, options);
    this.name = "PaydeskError";
    Object.assign(this, fieldsOf(fields));
  }
}

/** The fields of an error as a plain object, which keeps its message as JSON; what is not known is null. */
export function fieldsOf({ code, message, param, requestId, status, retryAfter, declineCode, payment }) {
  return {
    code,
    message,
    param: param ?? null,
    requestId: requestId ?? null,
    status: status ?? 0,
    retryAfter: retryAfter ?? null,
    declineCode: declineCode ?? null,
    payment: payment ?? null,
  };
}

/** A key that no other request has: its repeats are the same request. */
export function newKey() {
  return `js_${[...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("")}`;
}

/** A key of your own as it was given; throws TypeError for what no header can carry. */
function checkedKey(key) {
  if (key !== undefined && (typeof key !== "string" || !/^[\x21-\x7e]{1,255}$/.test(key)))
    throw new TypeError("idempotencyKey is 1 to 255 visible ASCII characters without blanks");
  return key;
}

/** An id as a part of a path; throws TypeError for what is none. */
export function part(id) {
  if (typeof id !== "string" || id === "") throw new TypeError("an id is a text that is not empty");
  return encodeURIComponent(id);
}

const wait = (ms, signal) =>
  new Promise((resolve, reject) => {
    const stop = () => {
      clearTimeout(timer);
      reject(signal.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", stop);
      resolve();
    }, ms);
    if (signal?.aborted) stop();
    else signal?.addEventListener("abort", stop, { once: true });
  });

/** A signal that aborts when one of two does; AbortSignal.any is younger than the browsers we serve. */
function either(one, other) {
  if (AbortSignal.any) return AbortSignal.any([one, other]);
  const both = new AbortController();
  for (const signal of [one, other]) {
    if (signal.aborted) both.abort(signal.reason);
    else signal.addEventListener("abort", () => both.abort(signal.reason), { once: true });
  }
  return both.signal;
}

/** The seconds of a Retry-After header; null where there is none that says seconds. */
function secondsOf(answer) {
  const text = answer.headers.get("Retry-After");
  return text !== null && /^\d{1,6}$/.test(text) ? Number(text) : null;
}

/** What a failed answer says, as an error; also where a proxy answered with a page. */
async function errorOf(answer) {
  const body = await answer.json().catch(() => null);
  const told = body?.error ?? {};
  return new PaydeskError({
    code: told.code ?? "http_error",
    message: told.message ?? `Paydesk answered ${answer.status}`,
    param: told.param,
    requestId: told.request_id ?? answer.headers.get("Request-Id"),
    status: answer.status,
    retryAfter: secondsOf(answer),
    declineCode: told.decline_code,
    payment: told.payment,
  });
}

const written = (value) => (value instanceof Date ? value.toISOString() : String(value));

/** Path and query of a call; parameters that are undefined or null are left out, and a Date is a time in UTC. */
function addressOf(path, query) {
  const given = Object.entries(query ?? {}).filter(([, value]) => value !== undefined && value !== null);
  const text = new URLSearchParams(given.map(([name, value]) => [name, written(value)])).toString();
  return text ? `${path}?${text}` : path;
}

/** Refuse what cannot work before anything is sent. */
function checked(url, key) {
  if (typeof url !== "string") throw new TypeError("new Paydesk({ url, … }): url is the address of Paydesk");
  if (key && !String(key).startsWith("pdk_")) throw new TypeError("a key begins with pdk_");
  if (key && globalThis.document && !key.startsWith("pdk_pub_")) throw new TypeError("a secret key must not be in a page");
  return url.replace(/\/+$/, "");
}

/** The way to one Paydesk, with one key and one buyer. */
export class Http {
  #key;
  #customer;
  #timeoutMs;
  #retries;
  #debug;
  #fetch;

  constructor({ url, key, customer, timeoutMs = TIMEOUT_MS, retries = RETRIES, debug = STRIPE_DEBUG, fetch: own } = {}) {
    this.url = checked(url, key);
    this.#key = key ?? null;
    this.#customer = customer ?? null;
    this.#timeoutMs = timeoutMs;
    this.#retries = retries;
    this.#debug = debug;
    this.#fetch = own ?? ((...given) => globalThis.fetch(...given));
  }

  /**
   * One call, repeated where nothing can have happened twice: no answer, 429, 502 to 504, and, for a minute, a first
   * request that is still under way. Everything that writes has an Idempotency-Key, the same for its repeats. Throws
   * PaydeskError; an abort of yours throws what your signal says.
   */
  async request(method, path, { body, query, signal, idempotencyKey, timeoutMs = this.#timeoutMs } = {}) {
    const address = this.url + addressOf(path, query);
    const headers = await this.#headers(method, path, body, idempotencyKey);
    const sent = { method, headers, body: body === undefined ? undefined : JSON.stringify(body) };
    const until = Date.now() + UNDER_WAY_MS_MAX;
    for (let attempt = 0; ; ) {
      const outcome = await this.#once(address, sent, signal, timeoutMs);
      if (!(outcome instanceof PaydeskError)) return outcome;
      if (outcome.code === UNDER_WAY && attempt > 0 && Date.now() < until) {
        await wait(UNDER_WAY_MS, signal);
        continue;
      }
      const waitMs = this.#pause(outcome, attempt);
      if (waitMs === null) throw outcome;
      await wait(waitMs, signal);
      attempt += 1;
    }
  }

  async #headers(method, path, body, idempotencyKey) {
    if (path.startsWith("/pay/")) return {}; // a plain request: browsers need not ask before
    const headers = { Accept: "application/json" };
    if (this.#key !== null) headers.Authorization = `Bearer ${this.#key}`;
    if (body !== undefined) headers["Content-Type"] = "application/json";
    if (WRITES.has(method)) headers["Idempotency-Key"] = checkedKey(idempotencyKey) ?? newKey();
    const token = typeof this.#customer === "function" ? await this.#customer() : this.#customer;
    if (token) headers["Paydesk-Customer"] = token;
    return headers;
  }

  /** What one attempt came to: the answer, or the error it means. */
  async #once(address, sent, signal, timeoutMs) {
    const clock = AbortSignal.timeout(timeoutMs);
    const begun = Date.now();
    try {
      const answer = await this.#fetch(address, { ...sent, signal: signal ? either(signal, clock) : clock });
      this.#tell(sent.method, address, answer.status, begun);
      if (!answer.ok) return await errorOf(answer);
      return answer.status === 204 ? null : await answer.json();
    } catch (cause) {
      if (signal?.aborted) throw signal.reason;
      this.#tell(sent.method, address, cause?.name ?? "error", begun);
      return clock.aborted
        ? new PaydeskError({ code: "timeout", message: `Paydesk did not answer within ${timeoutMs} ms` }, { cause })
        : new PaydeskError({ code: "connection", message: "Paydesk could not be reached" }, { cause });
    }
  }

  /** How long to wait before the next attempt, in milliseconds; null when this was the last. */
  #pause(error, attempt) {
    if (attempt >= this.#retries || !AGAIN.has(error.status)) return null;
    if (error.retryAfter !== null) return error.retryAfter * 1000 > WAIT_MS_MAX ? null : error.retryAfter * 1000;
    return WAIT_MS * 2 ** attempt * (0.5 + Math.random() / 2);
  }

  #tell(method, address, outcome, begun) {
    if (this.#debug) console.debug(`paydesk ${method} ${address.split("?")[0]} → ${outcome} in ${Date.now() - begun} ms`);
  }
}
