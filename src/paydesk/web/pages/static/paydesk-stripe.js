// Stripe.js: loaded once for a page, asked what became of an intent, and what its ways back put into an address.
import { PaydeskError } from "./paydesk-client.js";
import { node } from "./paydesk-parts.js";

const SECRETS = ["payment_intent_client_secret", "setup_intent_client_secret"];
const PUT_BY_STRIPE = ["payment_intent", "setup_intent", "source_type", "redirect_status", "redirect_pm_type", ...SECRETS];

/** Statuses of an intent that has its money, or soon will. */
export const TAKEN = ["succeeded", "processing", "requires_capture"];

/** Statuses of an intent that has taken nothing. */
export const NOT_TAKEN = ["requires_payment_method", "requires_confirmation", "canceled"];

let loading = null;

/** Stripe.js, loaded once for a page; rejects with a PaydeskError, and may be asked for again then. */
export function stripeJs(address) {
  if (globalThis.Stripe) return Promise.resolve(globalThis.Stripe);
  loading ??= new Promise((resolve, reject) => {
    const script = node("script", { src: address, async: true });
    script.addEventListener("load", () => resolve(globalThis.Stripe));
    script.addEventListener("error", () => {
      loading = null;
      script.remove();
      reject(new PaydeskError({ code: "connection", message: "Stripe.js could not be loaded" }));
    });
    document.head.append(script);
  });
  return loading;
}

const ofSetup = (secret) => secret.startsWith("seti_");

/** What Stripe says of an intent; null when it cannot be asked. */
export async function intentOf(stripe, secret) {
  const asked = ofSetup(secret) ? stripe.retrieveSetupIntent(secret) : stripe.retrievePaymentIntent(secret);
  const found = await asked.catch(() => ({}));
  return found.paymentIntent ?? found.setupIntent ?? null;
}

/** Confirm an intent by what was typed; a lost line is an error like any other. */
export function confirm(stripe, secret, given) {
  const confirming = ofSetup(secret) ? stripe.confirmSetup(given) : stripe.confirmPayment(given);
  return confirming.catch((error) => ({ error }));
}

/** The secret that a bank's way back has put into the address of this page; null without one. */
export function secretOfAddress() {
  const given = new URL(location.href).searchParams;
  return SECRETS.map((name) => given.get(name)).find(Boolean) ?? null;
}

/** Take out of the address of this page what a bank's way back has put there, and `more`. */
export function cleanAddress(more) {
  const address = new URL(location.href);
  for (const name of [...more, ...PUT_BY_STRIPE]) address.searchParams.delete(name);
  history.replaceState(history.state, "", address);
}
