/** What Paydesk answers, as types. The tests hold them against the API's own description. */

/** A time in ISO 8601, in UTC. */
export type Moment = string;
/** An amount in the currency's smallest unit. */
export type AmountMinor = number;
export type Metadata = Record<string, string>;

/** A page of a list. */
export interface List<T> {
  data: T[];
  has_more: boolean;
}

// --- catalogue -------------------------------------------------------------------------------------------------------

export interface Price {
  key: string;
  currency: string;
  amount: AmountMinor;
  /** In words, such as "$10.00 / month". */
  display: string;
  /** Of a subscription: how often it is paid. */
  interval: "day" | "week" | "month" | "year" | null;
  interval_count: number;
  /** Days before the first payment; 0 for none. */
  trial_days: number;
}

/** A price with the product that it is of. */
export interface ListedPrice extends Price {
  product: string;
  name: string;
}

export interface Grant {
  kind: string;
  [term: string]: unknown;
}

export interface Product {
  key: string;
  name: string;
  description: string | null;
  image: string | null;
  goods: string;
  prices: Price[];
  grants: Grant[];
}

/** What the catalogue says of the shop; `support` is an address, or `mailto:` with an e-mail address. */
export interface ShopSaid {
  name: string;
  logo: string | null;
  accent: string | null;
  terms: string | null;
  privacy: string | null;
  support: string | null;
}

export interface Config {
  object: "config";
  livemode: boolean;
  shop: ShopSaid | null;
  stripe_publishable_key: string | null;
  stripe_api_version: string;
  public_url: string;
  currencies: string[];
  languages: string[];
  language: string;
}

// --- people ----------------------------------------------------------------------------------------------------------

export interface Identity {
  channel: string;
  external_id: string;
}

export interface Customer {
  id: string;
  identities: Identity[];
  email: string | null;
  name: string | null;
  locale: string | null;
  stripe_customer: string | null;
  metadata: Metadata;
  created_at: Moment;
}

export interface CustomerSession {
  object: "customer_session";
  customer: string;
  token: string;
  expires_at: Moment;
}

/** A step of the trace; what else it has depends on `what`. */
export interface Step {
  at: Moment;
  what: string;
  id: string;
  cursor: string;
  [more: string]: unknown;
}

/** A role in a server or a place in a group, and whether the person is to have it. */
export interface Membership {
  channel: string;
  space: string;
  role: string | null;
  feature: string;
  wanted: boolean;
  version: number;
}

/** What has been started by a claim. */
export interface Claimed {
  source: string;
  kind: string;
  feature: string;
  since: Moment;
  until: Moment | null;
}

// --- selling ---------------------------------------------------------------------------------------------------------

export type OrderStatus =
  | "open"
  | "pending"
  | "paid"
  | "fulfilled"
  | "canceled"
  | "expired"
  | "refunded"
  | "partially_refunded"
  | "disputed";

export interface Order {
  id: string;
  status: OrderStatus;
  customer: string;
  items: { price: string | null; name: string; quantity: number; amount: AmountMinor }[];
  amount: AmountMinor;
  currency: string;
  session: string | null;
  conversation: string | null;
  metadata: Metadata;
  livemode: boolean;
  created_at: Moment;
  paid_at: Moment | null;
  canceled_at: Moment | null;
  /** Stripe's page, while it is open. */
  url: string | null;
  /** Our own link, which never dies. */
  link: string;
  /** The payment form on our own page. */
  form: string;
}

/** Stripe's statuses of a payment intent. */
export type PaymentStatus =
  | "requires_payment_method"
  | "requires_confirmation"
  | "requires_action"
  | "processing"
  | "requires_capture"
  | "succeeded"
  | "canceled";

export interface Payment {
  id: string;
  object: "payment";
  order: string;
  customer: string;
  status: PaymentStatus;
  amount: AmountMinor;
  currency: string;
  amount_capturable: AmountMinor;
  amount_received: AmountMinor;
  amount_refunded: AmountMinor;
  capture_method: "automatic" | "manual";
  /** While it can be paid: what Stripe.js goes on with. */
  client_secret: string | null;
  next_action: Record<string, unknown> | null;
  /** Why the last try failed. */
  failure: { code: string | null; message: string } | null;
  card: { brand: string | null; last4: string } | null;
  fee: AmountMinor | null;
  net: AmountMinor | null;
  settlement_currency: string | null;
  metadata: Metadata;
  livemode: boolean;
  created_at: Moment;
}

export type RefundStatus = "pending" | "requires_action" | "succeeded" | "failed" | "canceled";

export interface Refund {
  id: string;
  object: "refund";
  payment: string;
  order: string;
  amount: AmountMinor;
  currency: string;
  status: RefundStatus;
  reason: string | null;
  failure_reason: string | null;
  created_at: Moment;
}

export type DisputeStatus =
  | "warning_needs_response"
  | "warning_under_review"
  | "warning_closed"
  | "needs_response"
  | "under_review"
  | "won"
  | "lost"
  | "prevented";

export interface Dispute {
  id: string;
  object: "dispute";
  payment: string;
  order: string;
  amount: AmountMinor;
  currency: string;
  status: DisputeStatus;
  reason: string | null;
  evidence_due_at: Moment | null;
  created_at: Moment;
}

// --- subscriptions ---------------------------------------------------------------------------------------------------

export type SubscriptionStatus =
  | "incomplete"
  | "incomplete_expired"
  | "trialing"
  | "active"
  | "past_due"
  | "unpaid"
  | "paused"
  | "canceled";

export interface SubscriptionItem {
  price: string | null;
  stripe_price: string;
  product: string | null;
  quantity: number;
  current_period_start: Moment | null;
  current_period_end: Moment | null;
}

export interface Invoice {
  id: string;
  status: string;
  total: AmountMinor;
  currency: string;
  order: string;
  failure: string | null;
  url: string | null;
}

export interface Subscription {
  id: string;
  object: "subscription";
  status: SubscriptionStatus;
  customer: string;
  order: string | null;
  items: SubscriptionItem[];
  cancel_at: Moment | null;
  trial_end: Moment | null;
  ended_at: Moment | null;
  paused: boolean;
  grace_ends_at: Moment | null;
  until: Moment | null;
  pending_change: { price: string | null; stripe_price: string | null; quantity: number; at: Moment } | null;
  latest_invoice: Invoice | null;
  livemode: boolean;
  created_at: Moment;
}

/** A subscription that was just begun: while it is `incomplete`, how its buyer goes on. */
export interface NewSubscription extends Subscription {
  client_secret: string | null;
  url: string | null;
}

export interface Portal {
  customer: string;
  /** Good for a few minutes. */
  url: string;
}

// --- credits and access ----------------------------------------------------------------------------------------------

export interface Lot {
  source: string;
  remaining: number;
  priority: number;
  expires_at: Moment | null;
}

export interface Wallet {
  unit: string;
  /** What can be spent now. */
  balance: number;
  held: number;
  debt: number;
  lots: Lot[];
}

export interface Credits extends Wallet {
  units: Record<string, Wallet>;
}

export interface CreditOperation {
  id: string;
  object: "credit_operation";
  type: string;
  customer: string;
  unit: string;
  amount: number;
  balance: number;
  reason: string | null;
  created_at: Moment;
  expires_at?: Moment | null;
}

export type HoldStatus = "held" | "settled" | "released" | "lapsed";

export interface Hold {
  id: string;
  object: "hold";
  status: HoldStatus;
  customer: string;
  unit: string;
  amount: number;
  used: number | null;
  reason: string | null;
  expires_at: Moment;
  created_at: Moment | null;
  balance: number;
}

/** An entry of the ledger: an amount leaves one account and enters another. */
export interface Entry {
  id: string;
  object: "ledger_entry";
  type: string;
  customer: string | null;
  unit: string | null;
  currency: string | null;
  amount: number;
  from: string;
  to: string;
  balance: number | null;
  source: string;
  reason: string | null;
  created_at: Moment;
}

/** How credits are bought again by themselves. */
export interface TopUp {
  object: "topup";
  customer: string;
  unit: string;
  price: string;
  below: number;
  month_limit: AmountMinor;
  payment_method: string | null;
  enabled: boolean;
  stopped_because: string | null;
}

/** Why somebody may have a feature: a pass, a subscription, or a gift. */
export interface AccessReason {
  source: string;
  kind: string;
  text: string;
  order: string | null;
  subscription: string | null;
  product: string | null;
  since: Moment;
  until: Moment | null;
}

export interface Access {
  allowed: boolean;
  until: Moment | null;
  because: string[];
  reasons: AccessReason[];
}

// --- the payment form's own calls ------------------------------------------------------------------------------------

export type FormState = "open" | "pending" | "paid" | "canceled" | "refunded" | "disputed" | "hosted";

export interface FormConfig {
  publishable_key: string | null;
  stripe_js: string;
  debug: boolean;
  livemode: boolean;
  locale: string;
  texts: Record<string, string>;
  reasons: Record<string, string>;
  /** How units of credits are called, in the plural categories of the language. */
  units: Record<string, Record<string, string>>;
}

export interface FormPreview {
  state: FormState;
  amount: AmountMinor;
  currency: string;
  amount_text: string;
  price_text: string;
  lines: { name: string; quantity: number; amount_text: string }[];
  /** What Stripe's `elements()` is begun with. */
  elements: Record<string, unknown>;
  intent_first: boolean;
  hosted_only: boolean;
}

export interface FormOrder extends FormPreview {
  order: string;
  reference: string;
  gave: string;
  /** Whether the payment was begun in a form: then Stripe's page leads back here. */
  begun: boolean;
  link: string;
  back: string;
}

export interface Pressed {
  state: FormState;
  client_secret: string | null;
}
