// The client in Node against a running desk: `node client_story.mjs FOLDER DESK SECRET_KEY PUBLISHABLE_KEY SANDBOX`. Prints what it saw.
import { createServer } from "node:http";
import { strict as assert } from "node:assert";
import { pathToFileURL } from "node:url";

const [folder, url, secret, publishable, sandbox] = process.argv.slice(2);
const { Paydesk, PaydeskError, STRIPE_API_VERSION, STRIPE_DEBUG } = await import(pathToFileURL(`${folder}/paydesk.js`).href);

const server = new Paydesk({ url: `${url}/`, key: secret });
const who = { channel: "app", external_id: String(process.pid) };
const refused = async (work) => {
  const error = await work().then(() => null, (caught) => caught);
  assert.ok(error instanceof PaydeskError, String(error));
  return error;
};

// What a server does.
const products = await server.products.list();
assert.ok(products.data.some((product) => product.key === "credits-10"));
const { token, customer } = await server.customerSessions.create({ customer: who });
const once = { idempotencyKey: `order-${process.pid}` };
const wanted = { customer: who, items: [{ price: "credits-10" }] };
const order = await server.checkouts.create(wanted, once);
assert.equal((await server.checkouts.create(wanted, once)).id, order.id);
const paying = await fetch(`${sandbox}/v1/payment_pages/${order.session}/confirm`, {
  method: "POST",
  body: new URLSearchParams({ payment_method: "pm_card_visa", expected_amount: String(order.amount) }),
});
assert.equal(paying.status, 200, await paying.text());
const deadline = Date.now() + 20_000;
while ((await server.orders.retrieve(order.id)).status !== "fulfilled" && Date.now() < deadline) await new Promise((go) => setTimeout(go, 50));
await server.credits.grant(customer, { amount: 5, reason: "a gift" });
const spent = await server.credits.spend(customer, { amount: 3 });
assert.equal(spent.balance, 12);
const hold = await server.credits.hold(customer, { amount: 4 });
const settled = await server.holds.settle(hold.id, { amount: 1 });
assert.equal(settled.status, "settled");
// Lists: a page to await, everything to walk through, both ways, and the prices of all products.
const made = [order.id];
for (let number = 0; number < 4; number += 1) made.unshift((await server.checkouts.create({ customer, items: [{ price: "credits-10" }], form: true })).id);
const idsOf = async (list) => {
  const found = [];
  for await (const one of list) found.push(one.id);
  return found;
};
const page1 = await server.orders.list({ customer, limit: 2 });
assert.deepEqual([page1.data.map((one) => one.id), page1.has_more], [made.slice(0, 2), true]);
assert.deepEqual(await idsOf(server.orders.list({ customer, limit: 2 })), made);
assert.deepEqual(await idsOf(server.orders.list({ customer, limit: 2, starting_after: made[2] })), made.slice(3));
assert.deepEqual(await idsOf(server.orders.list({ customer, limit: 2, ending_before: made[3] })), made.slice(0, 3).reverse());
assert.deepEqual(await idsOf(server.orders.list({ customer, status: "fulfilled" })), [order.id]);
assert.deepEqual(await idsOf(server.orders.list({ customer, from: new Date(Date.now() + 86_400_000) })), []);
assert.equal((await server.orders.list({ customer, limit: 2 }).toArray({ max: 3 })).length, 3);
const pages = [];
for await (const { data } of server.orders.list({ customer, limit: 2 }).pages()) pages.push(data.length);
assert.deepEqual(pages, [2, 2, 1]);
const badCursor = await refused(() => idsOf(server.orders.list({ customer, starting_after: "ord_0" })));
assert.equal((await refused(() => server.orders.list({ statos: "open" }))).param, "statos");
const priced = await server.prices.list({ currency: "usd", interval: "month" });
assert.ok(priced.data.length > 1 && priced.data.every((price) => price.currency === "usd" && price.product && price.name));
assert.equal((await server.customers.find(who)).data[0].id, customer);
assert.ok((await server.customers.ledger(customer).toArray({ max: 100 })).length >= 3);
const trace = await server.customers.timeline(customer, { limit: 2 }).toArray({ max: 100 });
assert.ok(trace.length > 4 && new Set(trace.map((step) => step.cursor)).size === trace.length);
assert.ok((await server.customers.timeline(customer, { what: "order" }).toArray({ max: 3 })).every((step) => step.what === "order"));
const said = await server.chat.say({ ...who, text: "/balance" });
assert.equal(said.replies.length, 1);
assert.equal((await server.customers.update(customer, { name: "Ann" })).name, "Ann");
const declined = await refused(() =>
  server.payments.create({ customer, amount: 900, currency: "usd", payment_method: "pm_card_chargeDeclined", confirm: true }),
);
assert.match(declined.payment, /^pi_/);

const poor = await refused(() => server.credits.spend(customer, { amount: 1000 }));
const wrong = await refused(() => server.checkouts.create({ customer: who, items: [{ price: "no-such" }] }));
const gone = await refused(() => server.orders.retrieve("ord_0"));
assert.equal((await server.access.check("premium", { customer })).allowed, false);
assert.deepEqual(await server.memberships.list(customer, { limit: 1 }).toArray({ max: 5 }), []);
assert.equal((await refused(() => idsOf(server.memberships.list(customer, { starting_after: "discord:1" })))).param, "starting_after");
const payment = await server.payments.create({ customer: who, amount: 500, currency: "usd" });
assert.equal((await server.payments.cancel(payment.id)).status, "canceled");
const begun = await server.subscriptions.create({ customer: who, price: "plus" });
assert.match(begun.client_secret, /^pi_/);

// What the page of a buyer does, with a token that is fetched when it is needed.
let asked = 0;
const page = new Paydesk({ url, key: publishable, customer: async () => { asked += 1; return token; } });
assert.equal((await page.credits.retrieve()).balance, 11);
assert.equal((await page.config()).livemode, false);
assert.equal((await page.orders.retrieve(order.id)).id, order.id);
assert.equal((await page.subscriptions.list()).data.length, 1);
assert.match((await page.portal.create({ return_url: "https://shop.example/account" })).url, /^http/);
const forbidden = await refused(() => page.credits.spend("me", { amount: 1 }));
const preview = await page.forms.preview({ price: "plus", locale: "nl" });

// What happens on a bad line, at a server that fails first.
const seen = [];
const answers = [];
const bad = createServer((request, response) => {
  seen.push({ method: request.method, url: request.url, key: request.headers["idempotency-key"] ?? null });
  const next = answers.shift();
  if (next === "cut") return request.socket.destroy();
  if (next === "hang") return undefined;
  const [status, body, headers] = next;
  return response.writeHead(status, { "Content-Type": "application/json", ...headers }).end(JSON.stringify(body));
});
await new Promise((ready) => bad.listen(0, "127.0.0.1", ready));
const line = new Paydesk({ url: `http://127.0.0.1:${bad.address().port}`, key: "pdk_0", timeoutMs: 300 });
const away = { error: { code: "store_unavailable", message: "away" } };
answers.push("cut", [503, away, { "Retry-After": "0" }], [201, { id: "ord_1" }]);
assert.equal((await line.checkouts.create(wanted)).id, "ord_1");
assert.equal(new Set(seen.map((one) => one.key)).size, 1);
const tries = seen.length;
const underWay = [409, { error: { code: "idempotency_key_in_use", message: "the first request is under way" } }];
answers.push("cut", underWay, underWay, underWay, underWay, [201, { id: "ord_2" }]);
assert.equal((await line.checkouts.create(wanted)).id, "ord_2");
answers.push(underWay);
assert.equal((await refused(() => line.checkouts.create(wanted, { idempotencyKey: "somebody-elses" }))).status, 409);
await assert.rejects(line.checkouts.create(wanted, { idempotencyKey: "ż ó" }), TypeError);
answers.push([429, away, { "Retry-After": "3600" }]);
const later = await refused(() => line.products.list());
answers.push([502, "<h1>Bad Gateway</h1>"], [200, { data: [], has_more: true }]);
assert.deepEqual(await line.products.list().toArray({ max: 5 }), [], "an empty page is the end, whatever it says");
answers.push([503, away, { "Retry-After": "0" }], [503, away, { "Retry-After": "0" }], [503, away, { "Retry-After": "0" }]);
assert.equal((await refused(() => line.products.list())).status, 503);
answers.push([400, { error: { code: "invalid_request", message: "no", param: "items" } }]);
assert.equal((await refused(() => line.checkouts.create({}))).param, "items");
answers.push("hang", "hang", "hang");
const slow = await refused(() => line.request("GET", "/v1/products", { timeoutMs: 50 }));
const stop = new AbortController();
answers.push("hang");
const stopped = line.products.list({ signal: stop.signal }).catch((error) => error.name);
setTimeout(() => stop.abort(), 20);
assert.equal(await stopped, "AbortError");
answers.length = 0;
answers.push([200, { success: true, data: { url: "https://checkout.example/c" } }], [404, { success: false, error: { code: "not_found", message: "no price" } }]);
const checkoutData = { user_id: 123, price_id: "price_1", success_url: "https://a.example", cancel_url: "https://a.example", mode: "subscription" };
const result = await line.stripeService.createCheckoutSession(checkoutData);
assert.equal(result.success && result.data.url, "https://checkout.example/c");
const failed = await line.stripeService.products();
assert.equal(failed.success, false);
assert.equal(JSON.parse(JSON.stringify(failed)).error.message, "no price");
bad.closeAllConnections();
bad.close();

console.log(
  JSON.stringify({
    version: STRIPE_API_VERSION,
    debug: STRIPE_DEBUG,
    asked: asked > 3,
    poor: [poor.code, poor.status, Boolean(poor.requestId)],
    wrong: [wrong.status, wrong.code],
    declined: [declined.status, declined.code, declined.declineCode],
    cursor: [badCursor.status, badCursor.param],
    gone: gone.status,
    forbidden: forbidden.status,
    preview: [preview.price_text, preview.elements.mode],
    tries,
    later: [later.status, later.retryAfter],
    slow: slow.code,
    failed: failed.error.code,
  }),
);
