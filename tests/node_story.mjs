// The official Node SDK against the sandbox: `node node_story.mjs ADDRESS KEY PACKAGE_FOLDER`. Prints what it saw as JSON.
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { strict as assert } from "node:assert";

const [address, key, folder] = process.argv.slice(2);
const Stripe = createRequire(`${folder}/`)("stripe");
const { hostname, port } = new URL(address);
const stripe = new Stripe(key, { host: hostname, port, protocol: "http", maxNetworkRetries: 0, telemetry: false });

const hooks = [];
const receiver = createServer((request, response) => {
  const parts = [];
  request.on("data", (part) => parts.push(part));
  request.on("end", () => {
    hooks.push({ body: Buffer.concat(parts), signature: request.headers["stripe-signature"] });
    response.end("ok");
  });
});
await new Promise((ready) => receiver.listen(0, "127.0.0.1", ready));

const endpoint = await stripe.webhookEndpoints.create({
  url: `http://127.0.0.1:${receiver.address().port}/hook`,
  enabled_events: ["checkout.session.completed", "charge.refunded"],
});
const customer = await stripe.customers.create({ email: "a@example.com", metadata: { a: "b" } });
const price = await stripe.prices.create({ currency: "eur", unit_amount: 1234, product_data: { name: "Credits" } });
const session = await stripe.checkout.sessions.create({
  mode: "payment",
  customer: customer.id,
  line_items: [{ price: price.id, quantity: 2 }],
  success_url: "https://example.com/{CHECKOUT_SESSION_ID}",
});
assert.equal(session.amount_total, 2468);
const paying = await fetch(`${address}/v1/payment_pages/${session.id}/confirm`, {
  method: "POST",
  body: new URLSearchParams({ payment_method: "pm_card_visa" }),
});
assert.equal(paying.status, 200, await paying.text());
const paid = await stripe.checkout.sessions.retrieve(session.id, { expand: ["payment_intent.latest_charge"] });
assert.equal(paid.payment_status, "paid");
const refund = await stripe.refunds.create({ payment_intent: paid.payment_intent.id, amount: 468 });

const once = { idempotencyKey: "node-once" };
const intent = await stripe.paymentIntents.create({ amount: 900, currency: "eur" }, once);
assert.equal((await stripe.paymentIntents.create({ amount: 900, currency: "eur" }, once)).id, intent.id);
const declined = await stripe.paymentIntents
  .confirm(intent.id, { payment_method: "pm_card_chargeDeclined", return_url: "https://example.com" })
  .catch((error) => error);
assert.equal(declined.type, "StripeCardError");
const missing = await stripe.customers.retrieve("cus_0").catch((error) => error);
assert.equal(missing.type, "StripeInvalidRequestError");
const listed = [];
for await (const charge of stripe.charges.list({ limit: 1 })) listed.push(charge.id);
const found = await stripe.customers.search({ query: 'email:"a@example.com"' });

const deadline = Date.now() + 10_000;
while (hooks.length < 2 && Date.now() < deadline) await new Promise((next) => setTimeout(next, 20));
const events = hooks.map((hook) => stripe.webhooks.constructEvent(hook.body, hook.signature, endpoint.secret));
assert.throws(() => stripe.webhooks.constructEvent(hooks[0].body, hooks[0].signature, "whsec_other"));
receiver.close();

console.log(
  JSON.stringify({
    version: (await stripe.accounts.retrieve()).lastResponse.apiVersion,
    events: events.map((event) => event.type).sort(),
    refund: refund.status,
    charges: listed.length,
    decline: declined.decline_code,
    missing: missing.code,
    found: found.data.map((one) => one.id === customer.id),
  }),
);
