// The portal's card form, the buttons beside a quantity, and the one that prints a receipt.
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
for (const button of document.querySelectorAll("[data-step]")) {
  const field = button.parentElement.querySelector("input");
  button.hidden = false;
  button.addEventListener("click", () => { if (Number(button.dataset.step) > 0) field.stepUp(); else field.stepDown(); });
}
part("print")?.addEventListener("click", () => print());
