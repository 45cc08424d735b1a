// The client of Paydesk's API, for browsers and for Node 20 and later. No dependencies.
// Types: paydesk-client.d.ts. Browsers use a publishable key with a buyer's token, servers a secret key.

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
const AGAIN = new Set([429, 503]);
const WRITES = new Set(["POST", "PATCH", "DELETE"]);

/** What Paydesk refused, or that it could not be reached: then `code` is "connection" or "timeout", and `status` 0. */
export class PaydeskError extends Error {
  constructor({ code, message, param = null, requestId = null, status = 0, retryAfter = null }, options) {
    super(message, options);
    this.name = "PaydeskError";
    Object.assign(this, { code, param, requestId, status, retryAfter });
  }
}

/** A key that no other request has: its repeats are the same request. */
export function newKey() {
  return `js_${[...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("")}`;
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
    param: told.param ?? null,
    requestId: told.request_id ?? answer.headers.get("Request-Id"),
    status: answer.status,
    retryAfter: secondsOf(answer),
  });
}

/** Path and query of a call; parameters that are undefined or null are left out. */
function addressOf(path, query) {
  const given = Object.entries(query ?? {}).filter(([, value]) => value !== undefined && value !== null);
  const text = new URLSearchParams(given.map(([name, value]) => [name, String(value)])).toString();
  return text ? `${path}?${text}` : path;
}

const part = (id) => {
  if (typeof id !== "string" || id === "") throw new TypeError("an id is a text that is not empty");
  return encodeURIComponent(id);
};

export class Paydesk {
  #url;
  #key;
  #customer;
  #options;

  /** `url` is where Paydesk is; `key` a publishable or a secret key; `customer` a buyer's token, or a function for one. */
  constructor({ url, key, customer, timeoutMs = TIMEOUT_MS, retries = RETRIES, debug = STRIPE_DEBUG, fetch: own } = {}) {
    if (typeof url !== "string") throw new TypeError("new Paydesk({ url, … }): url is the address of Paydesk");
    if (key !== undefined && key !== null && !String(key).startsWith("pdk_")) throw new TypeError("a key begins with pdk_");
    if (key && globalThis.document && !key.startsWith("pdk_pub_")) throw new TypeError("a secret key must not be in a page");
    this.#url = url.replace(/\/+$/, "");
    this.#key = key ?? null;
    this.#customer = customer ?? null;
    this.#options = { timeoutMs, retries, debug, fetch: own ?? ((...given) => globalThis.fetch(...given)) };

    const call = (method, path, body, options) => this.request(method, path, { ...options, body });
    const list = (path, query, options) => this.request("GET", path, { ...options, query });
    const of = (customer) => `/v1/customers/${part(customer)}`;

    this.products = { list: (options) => list("/v1/products", null, options) };
    this.customers = {
      create: (given, options) => call("POST", "/v1/customers", given, options),
      retrieve: (customer, options) => list(of(customer), null, options),
      find: (who, options) => list("/v1/customers", who, options),
    };
    this.customerSessions = { create: (given, options) => call("POST", "/v1/customer_sessions", given, options) };
    this.checkouts = { create: (given, options) => call("POST", "/v1/checkouts", given, options) };
    this.orders = {
      retrieve: (order, options) => list(`/v1/orders/${part(order)}`, null, options),
      cancel: (order, options) => call("POST", `/v1/orders/${part(order)}/cancel`, undefined, options),
    };
    this.payments = {
      create: (given, options) => call("POST", "/v1/payments", given, options),
      retrieve: (payment, options) => list(`/v1/payments/${part(payment)}`, null, options),
      cancel: (payment, options) => call("POST", `/v1/payments/${part(payment)}/cancel`, undefined, options),
      capture: (payment, given, options) => call("POST", `/v1/payments/${part(payment)}/capture`, given ?? {}, options),
    };
    this.refunds = {
      create: (given, options) => call("POST", "/v1/refunds", given, options),
      retrieve: (refund, options) => list(`/v1/refunds/${part(refund)}`, null, options),
      list: (query, options) => list("/v1/refunds", query, options),
    };
    this.portal = { create: (given, options) => call("POST", "/v1/portal", { customer: "me", ...given }, options) };

    const one = (subscription) => `/v1/subscriptions/${part(subscription)}`;
    const change = (subscription, given, options) => call("PATCH", one(subscription), given, options);
    this.subscriptions = {
      list: (query, options) => list("/v1/subscriptions", { customer: "me", ...query }, options),
      create: (given, options) => call("POST", "/v1/subscriptions", given, options),
      retrieve: (subscription, options) => list(one(subscription), null, options),
      change,
      resume: (subscription, options) => change(subscription, { cancel_at_period_end: false }, options),
      cancel: (subscription, { at = "period_end", ...options } = {}) =>
        at === "now"
          ? this.request("DELETE", one(subscription), options)
          : change(subscription, { cancel_at_period_end: true }, options),
    };
    this.credits = {
      retrieve: (customer = "me", query = null, options = undefined) => list(`${of(customer)}/credits`, query, options),
      spend: (customer, given, options) => call("POST", `${of(customer)}/credits/spend`, given, options),
      grant: (customer, given, options) => call("POST", `${of(customer)}/credits/grant`, given, options),
      hold: (customer, given, options) => call("POST", `${of(customer)}/credits/hold`, given, options),
    };
    this.holds = {
      settle: (hold, given, options) => call("POST", `/v1/holds/${part(hold)}/settle`, given, options),
      release: (hold, options) => call("POST", `/v1/holds/${part(hold)}/release`, undefined, options),
    };
    this.access = {
      check: (feature, { customer = "me", ...options } = {}) => list(`${of(customer)}/access`, { feature }, options),
    };

    // The payment form of an order, by the token of its link: for pages, without any key.
    const form = (token, path, query, options) => list(`/pay/${part(token)}/${path}`, query, options);
    const press = (token, path, options) => this.request("POST", `/pay/${part(token)}/${path}`, options);
    this.forms = {
      config: (query, options) => list("/pay/config", query, options),
      preview: (query, options) => list("/pay/preview", query, options),
      retrieve: (token, query, options) => form(token, "form", query, options),
      status: (token, options) => form(token, "status", null, options),
      press: (token, options) => press(token, "press", options),
      look: (token, options) => press(token, "look", options),
    };

    // What the front end of a platform with routes under /api asks for: { success, data } or { success, error }.
    const enveloped = async (method, path, options) => {
      try {
        return await this.request(method, path, options);
      } catch (error) {
        if (!(error instanceof PaydeskError)) throw error;
        const { code, message, param, requestId, status, retryAfter } = error; // plain: an Error's message is lost as JSON
        return { success: false, error: { code, message, param, requestId, status, retryAfter } };
      }
    };
    const user = (id) => part(String(id));
    this.stripeService = {
      createCheckoutSession: (given, options) =>
        enveloped("POST", "/api/stripe/create-checkout-session", { ...options, body: given }),
      createSubscription: (given, options) => enveloped("POST", "/api/stripe/create-subscription", { ...options, body: given }),
      cancelSubscription: (id, options) => enveloped("DELETE", `/api/stripe/subscriptions/${part(id)}`, options),
      customerPortal: (userId, options) =>
        enveloped("GET", "/api/stripe/customer-portal", { ...options, query: { user_id: userId } }),
      products: (options) => enveloped("GET", "/api/stripe/products", options),
      subscriptions: (userId, options) => enveloped("GET", `/api/stripe/subscriptions/${user(userId)}`, options),
      credits: (userId, options) => enveloped("GET", `/api/financial/credits/${user(userId)}`, options),
      addCredits: (userId, given, options) =>
        enveloped("POST", `/api/financial/credits/${user(userId)}/add`, { ...options, body: given }),
      spendCredits: (userId, given, options) =>
        enveloped("POST", `/api/financial/credits/${user(userId)}/spend`, { ...options, body: given }),
      subscriptionSummary: (userId, options) =>
        enveloped("GET", `/api/financial/subscriptions/${user(userId)}/summary`, options),
      dashboard: (options) => enveloped("GET", "/api/financial/admin/dashboard", options),
    };
  }

  /** Where Paydesk is, without a slash at its end. */
  get url() {
    return this.#url;
  }

  /** What a page has to know before it shows anything. */
  config(options) {
    return this.request("GET", "/v1/config", options);
  }

  /**
   * One call, repeated where nothing can have happened twice: connection lost, 429 or 503, and, for a minute, a first
   * request that is still under way. Everything that writes has an Idempotency-Key, the same for its repeats. Throws PaydeskError; an abort of yours throws what your signal says.
   */
  async request(method, path, { body, query, signal, idempotencyKey, timeoutMs = this.#options.timeoutMs } = {}) {
    const address = this.#url + addressOf(path, query);
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
    const headers = { Accept: "application/json" };
    if (path.startsWith("/pay/")) return {}; // a plain request: browsers need not ask before
    if (this.#key !== null) headers.Authorization = `Bearer ${this.#key}`;
    if (body !== undefined) headers["Content-Type"] = "application/json";
    if (WRITES.has(method)) headers["Idempotency-Key"] = idempotencyKey ?? newKey();
    const token = typeof this.#customer === "function" ? await this.#customer() : this.#customer;
    if (token) headers["Paydesk-Customer"] = token;
    return headers;
  }

  /** What one attempt came to: the answer, or the error it means. */
  async #once(address, sent, signal, timeoutMs) {
    const clock = AbortSignal.timeout(timeoutMs);
    const begun = Date.now();
    try {
      const answer = await this.#options.fetch(address, { ...sent, signal: signal ? either(signal, clock) : clock });
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
    if (attempt >= this.#options.retries || !(error.status === 0 || AGAIN.has(error.status))) return null;
    if (error.retryAfter !== null) return error.retryAfter * 1000 > WAIT_MS_MAX ? null : error.retryAfter * 1000;
    return WAIT_MS * 2 ** attempt * (0.5 + Math.random() / 2);
  }

  #tell(method, address, outcome, begun) {
    if (this.#options.debug) console.debug(`paydesk ${method} ${address.split("?")[0]} → ${outcome} in ${Date.now() - begun} ms`);
  }
}

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

export default Paydesk;
