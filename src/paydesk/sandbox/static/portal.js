// The portal's card form, and the button that prints a receipt.
"use strict";

const part = (id) => document.getElementById(id);
const digits = (text) => text.replace(/\D/g, "");

part("number")?.addEventListener("input", (event) => { event.target.value = (digits(event.target.value).slice(0, 19).match(/.{1,4}/g) || []).join(" "); });
part("expiry")?.addEventListener("input", (event) => { const text = digits(event.target.value).slice(0, 4); event.target.value = text.length > 2 ? `${text.slice(0, 2)} / ${text.slice(2)}` : text; });
part("cvc")?.addEventListener("input", (event) => { event.target.value = digits(event.target.value); });
part("card")?.addEventListener("submit", (event) => {
  if (event.target.dataset.sent) event.preventDefault();
  event.target.dataset.sent = "yes";
});
part("print")?.addEventListener("click", () => print());
