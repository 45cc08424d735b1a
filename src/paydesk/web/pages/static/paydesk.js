// Paydesk's custom elements, <paydesk-payment-form>, <paydesk-subscriptions>, <paydesk-balance>, and its client.
// No dependencies, no build. Types: paydesk.d.ts. How to use them: docs/payment-form.md, docs/javascript.md.
import { PaydeskBalance } from "./paydesk-balance.js";
import { PaydeskPaymentForm } from "./paydesk-form.js";
import { PaydeskSubscriptions } from "./paydesk-subscriptions.js";

// Named here so that a browser fetches them all at once, and not one after the other as they name each other.
import "./paydesk-calls.js";
import "./paydesk-client.js";
import "./paydesk-element.js";
import "./paydesk-http.js";
import "./paydesk-lists.js";
import "./paydesk-looks.js";
import "./paydesk-memory.js";
import "./paydesk-parts.js";
import "./paydesk-stripe.js";
import "./paydesk-trouble.js";

export * from "./paydesk-client.js";
export { default } from "./paydesk-client.js";
export { PaydeskBalance, PaydeskPaymentForm, PaydeskSubscriptions };

const ELEMENTS = {
  "paydesk-payment-form": PaydeskPaymentForm,
  "paydesk-balance": PaydeskBalance,
  "paydesk-subscriptions": PaydeskSubscriptions,
};

if (globalThis.customElements) {
  for (const [name, made] of Object.entries(ELEMENTS)) if (!customElements.get(name)) customElements.define(name, made);
}
