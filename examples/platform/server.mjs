// The platform's own server: it knows who is signed in and what things cost, and holds the secret key.
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { Paydesk, PaydeskError } from "paydesk/client";

const { PAYDESK_URL, PAYDESK_API_KEY, PAYDESK_PUBLISHABLE_KEY, PORT = "3000" } = process.env;
const paydesk = new Paydesk({ url: PAYDESK_URL, key: PAYDESK_API_KEY });
const BODY_MAX = 10_000;
const OFFERS = { "Premium Plan Subscription": { amount: 2500, currency: "usd" } };
const PAGE = `<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Billing</title><div id="billing"></div><script type="module" src="/billing.js"></script></html>`;

/** Who asks. Your own sign-in says so; this example has one user, who is an admin too. */
function userOf(_request) {
  return { id: 123, admin: true };
}

const identity = (user) => ({ channel: "app", external_id: String(user.id) });

class Refused extends Error {
  constructor(status, code, message) {
    super(message);
    Object.assign(this, { status, code });
  }
}

async function bodyOf(request) {
  let text = "";
  for await (const part of request) {
    text += part;
    if (text.length > BODY_MAX) throw new Refused(413, "too_large", "that is too long");
  }
  try {
    return Object(JSON.parse(text));
  } catch {
    throw new Refused(400, "invalid_request", "send JSON");
  }
}

/** An order for one of our offers, at our own price. */
async function order(user, { description, amount, currency }) {
  const offer = Object.hasOwn(OFFERS, description) ? OFFERS[description] : null;
  if (offer?.amount !== amount || offer?.currency !== currency) throw new Refused(400, "no_such_offer", "We do not sell that.");
  const items = [{ name: description, amount, currency }];
  const made = await paydesk.checkouts.create({ customer: identity(user), items, form: true });
  return { token: made.link.split("/").pop() };
}

async function settings(user) {
  const { token } = await paydesk.customerSessions.create({ customer: identity(user) });
  return { url: PAYDESK_URL, publishableKey: PAYDESK_PUBLISHABLE_KEY, customerToken: token };
}

async function dashboard(user) {
  if (!user.admin) throw new Refused(403, "forbidden", "This is for admins.");
  return paydesk.stripeService.dashboard();
}

const ROUTES = {
  "GET /paydesk.json": settings,
  "POST /orders.json": async (user, request) => order(user, await bodyOf(request)),
  "GET /dashboard.json": dashboard,
};

async function answer(request, response) {
  const [path] = request.url.split("?");
  const route = ROUTES[`${request.method} ${path}`];
  if (route) return send(response, 200, "application/json", JSON.stringify(await route(userOf(request), request)));
  if (path === "/billing.js") return send(response, 200, "text/javascript", await readFile("public/billing.js"));
  return send(response, 200, "text/html", PAGE);
}

function send(response, status, type, body) {
  response.writeHead(status, { "Content-Type": `${type}; charset=utf-8` }).end(body);
}

const server = createServer((request, response) => {
  answer(request, response).catch((error) => {
    const known = error instanceof Refused || error instanceof PaydeskError;
    if (!known) console.error(error);
    const { code, message } = known ? error : { code: "internal", message: "Something went wrong." };
    send(response, error.status || 503, "application/json", JSON.stringify({ error: { code, message } }));
  });
});
server.listen(Number(PORT), "127.0.0.1", () => console.log(`http://127.0.0.1:${server.address().port}`));
