// The payment form's page: what the element tells turns the page, whose words come from the server.
import "./paydesk.js";

const EVERY_MS = 1500;
const FOR_MS = 90000;
const LATER_MS = 10000;
const here = location.pathname;
const order = document.getElementById("order");
const locale = new URLSearchParams(location.search).get("locale");

/** Show this page afresh, in its language, without what Stripe put into its address. */
function again(just) {
  const query = new URLSearchParams({ ...(locale ? { locale } : {}), ...(just ? { just } : {}) }).toString();
  location.replace(query ? `${here}?${query}` : here);
}

/** How the order stands; null without a connection: the next look may have one. */
async function stateNow() {
  try {
    const answer = await fetch(`${here}/status`);
    return answer.ok ? (await answer.json()).state : null;
  } catch {
    return null;
  }
}

order.addEventListener("paydesk-paid", () => again("paid"));
order.addEventListener("paydesk-closed", () => again());
// The element may know of it before the order does; then it goes on looking by itself.
order.addEventListener("paydesk-pending", async () => (await stateNow()) === "pending" && again());

// Once it was tried here, the order is paid here: Stripe's page would only lead back.
order.addEventListener("paydesk-failed", () => document.getElementById("hosted")?.remove());

if (order.dataset.state === "pending") {
  const until = Date.now() + FOR_MS;
  const watching = document.getElementById("watching");
  const look = async () => {
    if (document.visibilityState === "hidden") return document.addEventListener("visibilitychange", look, { once: true });
    const state = await stateNow();
    if (state !== null && state !== "pending") return again(state === "paid" ? "paid" : null);
    const soon = Date.now() < until;
    if (!soon) watching.textContent = watching.dataset.quiet;
    setTimeout(look, soon ? EVERY_MS : LATER_MS);
  };
  setTimeout(look, EVERY_MS);
}
