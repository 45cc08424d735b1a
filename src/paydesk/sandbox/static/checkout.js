// The payment form: tidies what is typed, sends it, and goes where the answer leads.
"use strict";

const form = document.getElementById("form");
const field = (id) => document.getElementById(id);
const BRANDS = [["AMEX", /^3[47]/], ["VISA", /^4/], ["MC", /^(5[1-5]|2[2-7])/], ["DISC", /^6(011|5)/], ["JCB", /^35/], ["DINERS", /^3[068]/], ["UPAY", /^62/]];
const digits = (text) => text.replace(/\D/g, "");
const brandOf = (number) => (BRANDS.find(([, start]) => start.test(number)) || [""])[0];

function grouped(number) {
  const sizes = brandOf(number) === "AMEX" ? [4, 6, 5] : [4, 4, 4, 4, 3];
  const parts = [];
  let rest = number;
  for (const size of sizes) { if (rest) { parts.push(rest.slice(0, size)); rest = rest.slice(size); } }
  return parts.join(" ");
}

function showNumber(text) {
  const number = digits(text);
  field("number").value = grouped(number);
  field("brand").textContent = brandOf(number);
}

function showExpiry(input, typed) {
  let text = digits(input.value).slice(0, 4);
  if (text.length === 1 && text > "1") text = "0" + text;
  const deleting = typed && typed.startsWith("delete");
  input.value = text.length > 2 || (text.length === 2 && !deleting) ? `${text.slice(0, 2)} / ${text.slice(2)}` : text;
}

// Errors: one line per group of fields, and the fields themselves marked.
const PLACES = { email: ["email-error", ["email"]], number: ["card-error", ["number"]], expiry: ["card-error", ["expiry"]], cvc: ["card-error", ["cvc"]], card: ["card-error", ["number", "expiry", "cvc"]], name: ["name-error", ["name"]], blik: ["blik-error", ["blik"]], iban: ["iban-error", ["iban"]], holder: ["holder-error", ["holder"]], country: ["country-error", ["country", "postal"]], ship: ["ship-error", ["ship-name", "ship-line1", "ship-city"]], general: ["general-error", []] };

// The chosen method; the only one when there is nothing to choose, empty when nothing is to be paid.
const chosen = () => document.querySelector('input[name="method"]:checked')?.value || document.querySelector("[data-method]")?.dataset.method || "";

function clearErrors() {
  for (const [line, ids] of Object.values(PLACES)) {
    if (field(line)) field(line).textContent = "";
    for (const id of ids) field(id)?.removeAttribute("aria-invalid");
  }
}

function showError(place, message) {
  const [line, ids] = field(PLACES[place][0]) ? PLACES[place] : PLACES.general;
  field(line).textContent = message;
  for (const id of ids) field(id)?.setAttribute("aria-invalid", "true");
  field(ids[0])?.focus();
}

function mistake() {
  const email = field("email");
  if (email && !/^[^@\s]+@[^@\s]+\.[^@\s]+$/.test(email.value.trim())) return ["email", "Your email is incomplete."];
  if (field("ship-name") && ["ship-name", "ship-line1", "ship-city"].some((id) => !field(id).value.trim())) return ["ship", "Your shipping address is incomplete."];
  return ({ card: cardMistake, blik: blikMistake, sepa_debit: debitMistake }[chosen()] || (() => null))();
}

function blikMistake() {
  return digits(field("blik").value).length === 6 ? null : ["blik", "Your BLIK code is incomplete."];
}

function debitMistake() {
  if (field("iban").value.replace(/\s/g, "").length < 15) return ["iban", "Your IBAN is incomplete."];
  return field("holder").value.trim() ? null : ["holder", "Enter the name of the account holder."];
}

function cardMistake() {
  const number = digits(field("number").value);
  if (number.length < (brandOf(number) === "AMEX" ? 15 : brandOf(number) === "DINERS" ? 14 : 16)) return ["number", "Your card number is incomplete."];
  const expiry = digits(field("expiry").value);
  if (expiry.length < 4) return ["expiry", "Your card's expiration date is incomplete."];
  const today = new Date(Number(form.dataset.now) * 1000);
  if (2000 + Number(expiry.slice(2)) < today.getUTCFullYear()) return ["expiry", "Your card's expiration year is in the past."];
  if (digits(field("cvc").value).length < 3) return ["cvc", "Your card's security code is incomplete."];
  if (!field("name").value.trim()) return ["name", "Enter the name on your card."];
  return null;
}

const BY_CODE = { incorrect_number: "number", invalid_number: "number", expired_card: "expiry", invalid_expiry_month: "expiry", invalid_expiry_year: "expiry", incorrect_cvc: "cvc", invalid_cvc: "cvc", email_invalid: "email", invalid_bank_account_iban: "iban", customer_tax_location_invalid: "country" };

function showRefusal(error) {
  if (error.code && error.code.startsWith("checkout_session_")) { location.reload(); return; }
  showError(BY_CODE[error.code] || (error.type === "card_error" && chosen() === "card" ? "card" : "general"), error.message);
}

function values() {
  const body = new URLSearchParams(form.dataset.amount ? { expected_amount: form.dataset.amount } : {});
  const email = field("email")?.value.trim();
  if (email) body.set("customer_email", email);
  if (field("ship-name")) setShipping(body);
  const kind = chosen();
  if (!kind) return body;
  body.set("payment_method_data[type]", kind);
  if (kind === "card") setCard(body);
  if (kind === "blik") body.set("payment_method_options[blik][code]", digits(field("blik").value));
  if (kind === "sepa_debit") body.set("payment_method_data[sepa_debit][iban]", field("iban").value.replace(/\s/g, ""));
  const name = (kind === "card" ? field("name") : field("holder"))?.value.trim();
  if (name && (kind === "card" || kind === "sepa_debit")) body.set("payment_method_data[billing_details][name]", name);
  if (email) body.set("payment_method_data[billing_details][email]", email);
  if (field("country")) setAddress(body);
  return body;
}

function setShipping(body) {
  body.set("shipping[name]", field("ship-name").value.trim());
  const parts = { country: "ship-country", line1: "ship-line1", postal_code: "ship-postal", city: "ship-city" };
  for (const [part, id] of Object.entries(parts)) body.set(`shipping[address][${part}]`, field(id).value.trim());
}

function setAddress(body) {
  body.set("payment_method_data[billing_details][address][country]", field("country").value);
  const postal = field("postal").value.trim();
  if (postal) body.set("payment_method_data[billing_details][address][postal_code]", postal);
}

function nameCountries() {
  const names = new Intl.DisplayNames([navigator.language || "en"], { type: "region" });
  const options = [...field("country").options], chosenBefore = field("country").value;
  for (const option of options) option.textContent = names.of(option.value);
  options.sort((one, other) => one.textContent.localeCompare(other.textContent));
  field("country").append(...options);
  field("country").value = chosenBefore;
}

function setCard(body) {
  const expiry = digits(field("expiry").value);
  const card = { number: digits(field("number").value), exp_month: String(Number(expiry.slice(0, 2))), exp_year: "20" + expiry.slice(2), cvc: field("cvc").value };
  for (const [name, value] of Object.entries(card)) body.set(`payment_method_data[card][${name}]`, value);
}

function setState(state, status) {
  form.dataset.state = state;
  field("submit").setAttribute("aria-disabled", String(state !== ""));
  field("status").textContent = status;
}

// In a frame on the seller's page, that page is told where to go.
function leave(why, url) {
  if (form.dataset.embedded) parent.postMessage({ embeddedCheckout: why, url }, "*");
  else location.assign(url);
}

function goOn(page) {
  const intent = page.payment_intent || page.setup_intent;
  const action = intent && intent.next_action;
  if (page.status === "complete") {
    field("waiting").hidden = true;
    setState("paid", "Payment successful");
    setTimeout(() => leave("complete", page.success_url), 450);
  } else if (action && action.type === "blik_authorize") {
    field("waiting").hidden = false;
    setTimeout(look, 700);
  } else if (action) {
    const url = action.redirect_to_url ? action.redirect_to_url.url : action.use_stripe_sdk.stripe_js;
    if (chosen() === "card") location.assign(url);
    else leave("redirect", url);
  } else if (intent && intent.last_payment_error) {
    field("waiting").hidden = true;
    setState("", "");
    showRefusal(intent.last_payment_error);
  } else {
    location.reload();
  }
}

// While the buyer is in the banking app, look again until there is an answer.
async function look() {
  try {
    goOn(await (await fetch(`/v1/payment_pages/${form.dataset.session}`)).json());
  } catch {
    setTimeout(look, 1500);
  }
}

async function pay() {
  setState("busy", "Processing");
  try {
    const answer = await fetch(`/v1/payment_pages/${form.dataset.session}/confirm`, { method: "POST", body: values() });
    const page = await answer.json();
    if (answer.ok) { goOn(page); return; }
    setState("", "");
    showRefusal(page.error);
  } catch {
    setState("", "");
    showError("general", "We could not reach the payment server. You were not charged. Please try again.");
  }
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  if (form.dataset.state) return;
  clearErrors();
  const found = mistake();
  if (found) showError(...found); else pay();
});
field("number")?.addEventListener("input", (event) => showNumber(event.target.value));
field("expiry")?.addEventListener("input", (event) => showExpiry(event.target, event.inputType));
field("cvc")?.addEventListener("input", (event) => { event.target.value = digits(event.target.value).slice(0, 4); });
field("blik")?.addEventListener("input", (event) => { const code = digits(event.target.value).slice(0, 6); event.target.value = code.length > 3 ? `${code.slice(0, 3)} ${code.slice(3)}` : code; });
field("iban")?.addEventListener("change", (event) => { event.target.value = event.target.value.replace(/\s/g, "").toUpperCase().replace(/(.{4})(?=.)/g, "$1 "); });
for (const radio of document.querySelectorAll('input[name="method"]')) {
  radio.addEventListener("change", () => {
    clearErrors();
    for (const panel of document.querySelectorAll("[data-method]")) panel.hidden = panel.dataset.method !== radio.value;
  });
}
field("coupon-form")?.addEventListener("submit", async (event) => {
  event.preventDefault();
  field("coupon-error").textContent = "";
  const answer = await fetch(`/v1/payment_pages/${form.dataset.session}`, { method: "POST", body: new URLSearchParams({ promotion_code: field("coupon").value.trim() }) });
  if (answer.ok) location.reload(); else field("coupon-error").textContent = (await answer.json()).error.message;
});
field("coupon-remove")?.addEventListener("click", async () => {
  const answer = await fetch(`/v1/payment_pages/${form.dataset.session}`, { method: "POST", body: new URLSearchParams({ promotion_code: "" }) });
  if (answer.ok) location.reload(); else showError("general", (await answer.json()).error.message);
});
for (const choice of document.querySelectorAll('input[name="shipping_rate"]')) {
  choice.addEventListener("change", async () => {
    const answer = await fetch(`/v1/payment_pages/${form.dataset.session}`, { method: "POST", body: new URLSearchParams({ shipping_rate: choice.value }) });
    if (!answer.ok) { showError("general", (await answer.json()).error.message); return; }
    // What was typed stays; only the amounts are taken from the page as it is now.
    const fresh = new DOMParser().parseFromString(await (await fetch(location.href)).text(), "text/html");
    for (const place of ["#amount", "#shipping", "#due", "#submit .button-text"]) {
      const shown = document.querySelector(place), now = fresh.querySelector(place);
      if (shown && now) shown.textContent = now.textContent;
    }
    form.dataset.amount = fresh.getElementById("form").dataset.amount;
  });
}
for (const choice of document.querySelectorAll(".card-choice")) {
  choice.addEventListener("click", () => {
    document.querySelector('input[name="method"][value="card"]')?.click();
    showNumber(choice.dataset.number);
    field("expiry").value = "12 / " + String(new Date(Number(form.dataset.now) * 1000).getUTCFullYear() + 2).slice(2);
    field("cvc").value = choice.dataset.number.startsWith("3") ? "1234" : "123";
    field("name").value ||= "Test Buyer";
    field("submit").focus();
  });
}
if (field("country")) nameCountries();
// Coming back with the browser's back button shows the session as it is now.
addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });
// Nothing can be sent before this script is there to send it.
for (const button of document.querySelectorAll('button[type="submit"]')) button.disabled = false;
