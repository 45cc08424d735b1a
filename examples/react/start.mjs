// Shows the built shop on this machine: what your own server does, with one buyer who is always signed in.
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { Paydesk } from "paydesk/client";

const { PAYDESK_URL = "http://127.0.0.1:8000", PAYDESK_API_KEY, PRICE = "credits-10", PORT = "3000" } = process.env;
const paydesk = new Paydesk({ url: PAYDESK_URL, key: PAYDESK_API_KEY });
const buyer = { channel: "app", external_id: "somebody" };
const { key } = await paydesk.keys.create({ name: "react-example", kind: "publishable" });

/** The page for the buyer, with a token that is good for an hour. */
async function page() {
  const { token } = await paydesk.customerSessions.create({ customer: buyer });
  const data = { url: PAYDESK_URL, "publishable-key": key, "customer-token": token, price: PRICE };
  const attributes = Object.entries(data).map(([name, value]) => `data-${name}="${value}"`);
  return `<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Shop</title>
<div id="shop" ${attributes.join(" ")}></div><script type="module" src="/main.js"></script></html>`;
}

async function answer(request, response) {
  const script = request.url === "/main.js";
  const body = script ? await readFile("public/main.js") : await page();
  response.writeHead(200, { "Content-Type": `text/${script ? "javascript" : "html"}; charset=utf-8` }).end(body);
}

const server = createServer((request, response) => {
  answer(request, response).catch((error) => response.writeHead(503, { "Content-Type": "text/plain" }).end(error.message));
});
server.listen(Number(PORT), "127.0.0.1", () => console.log(`http://127.0.0.1:${server.address().port}`));
