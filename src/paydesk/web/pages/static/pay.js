// The payment form's page: what the element tells turns the page, whose words come from the server.
import "./paydesk.js";

const EVERY_MS = 1500;
const FOR_MS = 90000;
const here = location.pathname;
const order = document.getElementById("order");

/** Show this page afresh, without what Stripe put into its address. */
const again = () => location.replace(here);

for (const name of ["paydesk-paid", "paydesk-closed"]) order.addEventListener(name, again);

// Once it was tried here, the order is paid here: Stripe's page would only lead back.
order.addEventListener("paydesk-failed", () => document.getElementById("hosted")?.remove());

if (order.dataset.state === "pending") {
  const until = Date.now() + FOR_MS;
  const look = async () => {
    try {
      const answer = await fetch(`${here}/status`);
      if (answer.ok && (await answer.json()).state !== "pending") return again();
    } catch {
      // No connection just now: the next look may have one.
    }
    const watching = document.getElementById("watching");
    if (Date.now() < until) setTimeout(look, EVERY_MS);
    else watching.textContent = watching.dataset.quiet;
  };
  setTimeout(look, EVERY_MS);
}
