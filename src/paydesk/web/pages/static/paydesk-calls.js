// Every call of the API by what it is about. A call is its method, its path and what is sent; the rest is the client's.
import { Listing, byCursor, byFeature } from "./paydesk-lists.js";
import { PaydeskError, fieldsOf, part } from "./paydesk-http.js";

/** The four shapes that calls have, over a client's `request`. */
function verbs(request) {
  const get = (path, query, options) => request("GET", path, { ...options, query });
  return {
    get,
    post: (path, body, options) => request("POST", path, { ...options, body }),
    patch: (path, body, options) => request("PATCH", path, { ...options, body }),
    remove: (path, query, options) => request("DELETE", path, { ...options, query }),
    /** A list that is never cut into pages. */
    whole: (path, options) => new Listing(() => get(path, null, options)),
    /** A list; its options, such as a signal, go with each of its pages. */
    list: (path, query, options, next) => new Listing((asked) => get(path, asked, options), query, next),
  };
}

const person = (customer) => `/v1/customers/${part(customer)}`;
const priced = (product) => product.prices.map((price) => ({ ...price, product: product.key, name: product.name }));

function catalogue({ get, whole }) {
  const prices = (wanted, options) =>
    new Listing(async () => {
      const { data } = await get("/v1/products", null, options);
      const asked = Object.entries(wanted ?? {}).filter(([, value]) => value !== undefined);
      return { data: data.flatMap(priced).filter((price) => asked.every(([name, value]) => price[name] === value)), has_more: false };
    });
  return {
    config: (options) => get("/v1/config", null, options),
    products: {
      list: (options) => whole("/v1/products", options),
      retrieve: (product, options) => get(`/v1/products/${part(product)}`, null, options),
    },
    prices: { list: prices },
    stats: { retrieve: (query, options) => get("/v1/stats", query, options) },
    status: { retrieve: (options) => get("/v1/status", null, options) },
  };
}

function people({ get, post, patch, remove, list }) {
  return {
    customers: {
      create: (given, options) => post("/v1/customers", given, options),
      retrieve: (customer, options) => get(person(customer), null, options),
      update: (customer, given, options) => patch(person(customer), given, options),
      list: (query, options) => list("/v1/customers", query, options),
      find: (who, options) => list("/v1/customers", who, options),
      merge: (customer, given, options) => post(`${person(customer)}/merge`, given, options),
      link: (customer, identity, options) => post(`${person(customer)}/identities`, identity, options),
      unlink: (customer, { channel, external_id: id }, options) =>
        remove(`${person(customer)}/identities/${part(channel)}/${part(String(id))}`, null, options),
      ledger: (customer, query, options) => list(`${person(customer)}/ledger`, query, options),
      timeline: (customer, query, options) => list(`${person(customer)}/timeline`, query, options, byCursor),
    },
    customerSessions: { create: (given, options) => post("/v1/customer_sessions", given, options) },
    memberships: {
      list: (customer, query, options) => list(`${person(customer)}/memberships`, query, options, byFeature),
      sync: (customer, options) => post(`${person(customer)}/memberships/sync`, undefined, options),
    },
    access: {
      check: (feature, { customer = "me", ...options } = {}) => get(`${person(customer)}/access`, { feature }, options),
      claim: (given, { customer = "me", ...options } = {}) => post(`${person(customer)}/claims`, given ?? {}, options),
    },
  };
}

function selling({ get, post, list }) {
  const payment = (id) => `/v1/payments/${part(id)}`;
  return {
    checkouts: { create: (given, options) => post("/v1/checkouts", given, options) },
    orders: {
      list: (query, options) => list("/v1/orders", query, options),
      retrieve: (order, options) => get(`/v1/orders/${part(order)}`, null, options),
      cancel: (order, options) => post(`/v1/orders/${part(order)}/cancel`, undefined, options),
    },
    payments: {
      list: (query, options) => list("/v1/payments", query, options),
      create: (given, options) => post("/v1/payments", given, options),
      retrieve: (id, options) => get(payment(id), null, options),
      cancel: (id, options) => post(`${payment(id)}/cancel`, undefined, options),
      capture: (id, given, options) => post(`${payment(id)}/capture`, given ?? {}, options),
    },
    refunds: {
      list: (query, options) => list("/v1/refunds", query, options),
      create: (given, options) => post("/v1/refunds", given, options),
      retrieve: (refund, options) => get(`/v1/refunds/${part(refund)}`, null, options),
    },
    disputes: {
      list: (query, options) => list("/v1/disputes", query, options),
      retrieve: (dispute, options) => get(`/v1/disputes/${part(dispute)}`, null, options),
    },
  };
}

function subscribing({ get, post, patch, remove, list }) {
  const one = (subscription) => `/v1/subscriptions/${part(subscription)}`;
  const change = (subscription, given, options) => patch(one(subscription), given, options);
  return {
    subscriptions: {
      list: (query, options) => list("/v1/subscriptions", query, options),
      create: (given, options) => post("/v1/subscriptions", given, options),
      retrieve: (subscription, options) => get(one(subscription), null, options),
      change,
      pause: (subscription, options) => change(subscription, { pause: true }, options),
      unpause: (subscription, options) => change(subscription, { pause: false }, options),
      resume: (subscription, options) => change(subscription, { cancel_at_period_end: false }, options),
      cancel: (subscription, { at = "period_end", ...options } = {}) =>
        at === "now"
          ? remove(one(subscription), null, options)
          : change(subscription, { cancel_at_period_end: true }, options),
    },
    portal: { create: (given, options) => post("/v1/portal", { customer: "me", ...given }, options) },
  };
}

function wallets({ get, post, remove, list }) {
  const credits = (customer) => `${person(customer)}/credits`;
  const topup = (customer) => `${person(customer)}/topup`;
  return {
    credits: {
      retrieve: (customer = "me", query = null, options = undefined) => get(credits(customer), query, options),
      spend: (customer, given, options) => post(`${credits(customer)}/spend`, given, options),
      grant: (customer, given, options) => post(`${credits(customer)}/grant`, given, options),
      hold: (customer, given, options) => post(`${credits(customer)}/hold`, given, options),
    },
    holds: {
      list: (query, options) => list("/v1/holds", query, options),
      retrieve: (hold, options) => get(`/v1/holds/${part(hold)}`, null, options),
      settle: (hold, given, options) => post(`/v1/holds/${part(hold)}/settle`, given, options),
      release: (hold, options) => post(`/v1/holds/${part(hold)}/release`, undefined, options),
    },
    topups: {
      create: (customer, given, options) => post(topup(customer), given, options),
      retrieve: (customer, query, options) => get(topup(customer), query, options),
      remove: (customer, query, options) => remove(topup(customer), query, options),
    },
  };
}

/** What programs of the desk's own people use: what came in, what goes out, keys, and what agents ask for. */
function operating({ get, post, patch, remove, list }) {
  const endpoint = (id) => `/v1/webhook_endpoints/${part(id)}`;
  const read = (path) => ({
    list: (query, options) => list(path, query, options),
    retrieve: (id, options) => get(`${path}/${part(id)}`, null, options),
  });
  return {
    events: { ...read("/v1/events"), replay: (event, options) => post(`/v1/events/${part(event)}/replay`, undefined, options) },
    deliveries: {
      ...read("/v1/deliveries"),
      retry: (delivery, options) => post(`/v1/deliveries/${part(delivery)}/retry`, undefined, options),
    },
    webhookEndpoints: {
      ...read("/v1/webhook_endpoints"),
      create: (given, options) => post("/v1/webhook_endpoints", given, options),
      update: (id, given, options) => patch(endpoint(id), given, options),
      enable: (id, options) => post(`${endpoint(id)}/enable`, undefined, options),
      rotate: (id, options) => post(`${endpoint(id)}/rotate`, undefined, options),
      remove: (id, options) => remove(endpoint(id), null, options),
    },
    keys: {
      ...read("/v1/keys"),
      create: (given, options) => post("/v1/keys", given, options),
      rotate: (key, given, options) => post(`/v1/keys/${part(key)}/rotate`, given ?? {}, options),
      revoke: (key, options) => post(`/v1/keys/${part(key)}/revoke`, undefined, options),
    },
    refundRequests: {
      ...read("/v1/refund_requests"),
      create: (given, options) => post("/v1/refund_requests", given, options),
    },
    agent: { retrieve: (options) => get("/v1/agent", null, options) },
    chat: {
      say: (given, options) => post("/v1/chat", given, options),
      messages: (query, options) => list("/v1/chat/messages", query, options, ({ data }) => ({ after: data.at(-1).id })),
    },
  };
}

/** The payment form of an order, by the token of its link: for pages, without any key. */
function forms({ get }, request) {
  const form = (token, path, query, options) => get(`/pay/${part(token)}/${path}`, query, options);
  const press = (token, path, options) => request("POST", `/pay/${part(token)}/${path}`, options);
  return {
    config: (query, options) => get("/pay/config", query, options),
    preview: (query, options) => get("/pay/preview", query, options),
    retrieve: (token, query, options) => form(token, "form", query, options),
    status: (token, options) => form(token, "status", null, options),
    press: (token, options) => press(token, "press", options),
    look: (token, options) => press(token, "look", options),
  };
}

/** What the front end of a platform with routes under /api asks for: { success, data } or { success, error }. */
function enveloped(request) {
  const ask = async (method, path, options) => {
    try {
      return await request(method, path, options);
    } catch (error) {
      if (!(error instanceof PaydeskError)) throw error;
      return { success: false, error: fieldsOf(error) };
    }
  };
  const credits = (user) => `/api/financial/credits/${part(String(user))}`;
  return {
    createCheckoutSession: (given, options) => ask("POST", "/api/stripe/create-checkout-session", { ...options, body: given }),
    createSubscription: (given, options) => ask("POST", "/api/stripe/create-subscription", { ...options, body: given }),
    cancelSubscription: (id, options) => ask("DELETE", `/api/stripe/subscriptions/${part(id)}`, options),
    customerPortal: (user, options) => ask("GET", "/api/stripe/customer-portal", { ...options, query: { user_id: user } }),
    products: (options) => ask("GET", "/api/stripe/products", options),
    subscriptions: (user, options) => ask("GET", `/api/stripe/subscriptions/${part(String(user))}`, options),
    credits: (user, options) => ask("GET", credits(user), options),
    addCredits: (user, given, options) => ask("POST", `${credits(user)}/add`, { ...options, body: given }),
    spendCredits: (user, given, options) => ask("POST", `${credits(user)}/spend`, { ...options, body: given }),
    subscriptionSummary: (user, options) => ask("GET", `/api/financial/subscriptions/${part(String(user))}/summary`, options),
    dashboard: (options) => ask("GET", "/api/financial/admin/dashboard", options),
  };
}

/** All calls over a client's `request(method, path, options)`. */
export function calls(request) {
  const by = verbs(request);
  return {
    ...catalogue(by),
    ...people(by),
    ...selling(by),
    ...subscribing(by),
    ...wallets(by),
    ...operating(by),
    forms: forms(by, request),
    stripeService: enveloped(request),
  };
}
