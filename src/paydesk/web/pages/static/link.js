// The payable link: the button says that it works, and a page that waits for a payment turns by itself.
"use strict";

(() => {
  const EVERY_MS = 1500;
  const FOR_MS = 60000;
  let until = Date.now() + FOR_MS;
  let timer = 0;

  const order = () => document.getElementById("order");

  function busy(form, isBusy) {
    form.toggleAttribute("data-busy", isBusy);
    form.querySelector("button").setAttribute("aria-disabled", String(isBusy));
  }

  document.addEventListener("submit", (event) => {
    if (!event.target.matches("[data-pay]")) return;
    if (event.target.hasAttribute("data-busy")) event.preventDefault();
    else busy(event.target, true);
  });

  /** Take the order's card from a fresh copy of this page, so that all words come from the server. */
  async function turn(address) {
    const answer = await fetch(address, { headers: { Accept: "text/html" } });
    if (!answer.ok) return;
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    const card = fresh.getElementById("order");
    card.classList.add("order-turned");
    order().replaceWith(document.adoptNode(card));
    document.title = fresh.title;
    document.getElementById("news").textContent = card.querySelector("h1").textContent;
  }

  async function look() {
    const card = order();
    const address = card.dataset.watch;
    if (!address) return;
    try {
      const answer = await fetch(`${address}/status`);
      if (answer.ok && (await answer.json()).state !== card.dataset.state) await turn(address);
    } catch {
      // No connection just now: the next look may have one.
    }
    next();
  }

  function next() {
    clearTimeout(timer);
    const watching = document.getElementById("watching");
    if (!order().dataset.watch) return;
    if (Date.now() < until) timer = setTimeout(look, EVERY_MS);
    else if (watching) watching.textContent = watching.dataset.quiet;
  }

  // Back from Stripe by the browser's own button: the page may be an old copy.
  addEventListener("pageshow", (event) => {
    document.querySelectorAll("[data-pay]").forEach((form) => busy(form, false));
    if (!event.persisted) return;
    until = Date.now() + FOR_MS;
    const card = order();
    if (card.dataset.state === "open") card.dataset.watch = location.pathname;
    look();
  });
  document.addEventListener("visibilitychange", () => {
    if (document.visibilityState !== "visible" || !order().dataset.watch) return;
    until = Date.now() + FOR_MS;
    look();
  });
  next();
})();
