/** Types of paydesk.js: the custom elements, and the client. React needs paydesk-react.d.ts besides. */

import type { Paydesk, Subscription } from "./paydesk-client.js";

export * from "./paydesk-client.js";
export { default } from "./paydesk-client.js";

/** What all elements take as attributes. */
export interface CommonAttributes {
  /** Where Paydesk is; where the script came from, unless you say. */
  url?: string;
  "publishable-key"?: string;
  "customer-token"?: string;
  /** The language of its words; the page's, unless you say. */
  locale?: string;
}

export interface PaymentFormAttributes extends CommonAttributes {
  /** The token of an order's link: the last part of its `link`. */
  order?: string;
  /** Instead of an order: a price of the catalogue. The order is made when the buyer presses. */
  price?: string;
  quantity?: string | number;
  /** Leave out what is bought: your page shows it. */
  bare?: string | boolean;
}

export interface BalanceAttributes extends CommonAttributes {
  unit?: string;
  label?: string;
}

export type SubscriptionsAttributes = CommonAttributes;

export interface PaydeskElement extends HTMLElement {
  client: Paydesk;
  locale: string;
  reload(): void;
}

/** What Stripe's Payment Element looks like, as Stripe's Appearance API has it. */
export interface Appearance {
  theme?: string;
  variables?: Record<string, string>;
  rules?: Record<string, Record<string, string>>;
}

export declare class PaydeskPaymentForm extends HTMLElement implements PaydeskElement {
  client: Paydesk;
  locale: string;
  /** How Stripe's element looks: the element's own colours, unless you put something here. */
  appearance: Appearance;
  reload(): void;
  /** Pay, as the button does. */
  submit(): Promise<void>;
}

export declare class PaydeskBalance extends HTMLElement implements PaydeskElement {
  client: Paydesk;
  locale: string;
  reload(): void;
}

export declare class PaydeskSubscriptions extends HTMLElement implements PaydeskElement {
  client: Paydesk;
  locale: string;
  reload(): void;
}

export interface PaydeskEventMap {
  "paydesk-ready": CustomEvent<{ order: string | null }>;
  "paydesk-paid": CustomEvent<{ order: string | null; state: "paid" }>;
  "paydesk-pending": CustomEvent<{ order: string | null; state: "pending" }>;
  "paydesk-closed": CustomEvent<{ order: string | null; state: string }>;
  "paydesk-failed": CustomEvent<{ order?: string | null; code: string; message: string; error: unknown }>;
  /** The buyer's token, or the key, is refused: put a fresh one into `customer-token`. */
  "paydesk-token": CustomEvent<{ error: unknown }>;
  "paydesk-error": CustomEvent<{ error: unknown }>;
  "paydesk-balance": CustomEvent<{ unit: string; balance: number; held: number; debt: number }>;
  "paydesk-changed": CustomEvent<{ subscription: Subscription }>;
  /** Canceled (`preventDefault`), the page does not go to the portal. */
  "paydesk-portal": CustomEvent<{ url: string }>;
}

declare global {
  interface HTMLElementTagNameMap {
    "paydesk-payment-form": PaydeskPaymentForm;
    "paydesk-balance": PaydeskBalance;
    "paydesk-subscriptions": PaydeskSubscriptions;
  }
  interface HTMLElementEventMap extends PaydeskEventMap {}
  interface DocumentEventMap extends PaydeskEventMap {}
}
