/** Types of paydesk-client.js: the client of Paydesk's API for browsers and Node. */

export declare const STRIPE_API_VERSION: string;
export declare const STRIPE_DEBUG: boolean;

/** A key that no other request has. */
export declare function newKey(): string;

export interface PaydeskErrorFields {
  code: string;
  message: string;
  param?: string | null;
  requestId?: string | null;
  status?: number;
  retryAfter?: number | null;
}

/** What Paydesk refused, or that it could not be reached (`status` 0, `code` "connection" or "timeout"). */
export declare class PaydeskError extends Error {
  constructor(fields: PaydeskErrorFields, options?: { cause?: unknown });
  readonly code: string;
  readonly param: string | null;
  /** The number of the request, which stands in Paydesk's log. */
  readonly requestId: string | null;
  /** The HTTP status; 0 when there was no answer. */
  readonly status: number;
  /** Seconds after which the same request makes sense again. */
  readonly retryAfter: number | null;
}

export interface RequestOptions {
  signal?: AbortSignal;
  timeoutMs?: number;
}

export interface WriteOptions extends RequestOptions {
  /** A key of your own: the same key is the same request, also after a crash. Without one, each call has its own. */
  idempotencyKey?: string;
}

export interface PaydeskOptions {
  /** Where Paydesk is, such as "https://pay.example.com". */
  url: string;
  /** `pdk_pub_…` in pages, `pdk_…` on servers. */
  key?: string | null;
  /** A buyer's token (`pdc_…`), or a function that gets a fresh one. Only beside a publishable key. */
  customer?: string | null | (() => string | Promise<string>);
  timeoutMs?: number;
  /** How often a call is repeated after a lost connection, 429 or 503. */
  retries?: number;
  debug?: boolean;
  fetch?: typeof fetch;
}

// --- what is shown ---------------------------------------------------------------------------------------------------

/** A time in ISO 8601, in UTC. */
export type Moment = string;
/** An amount in the currency's smallest unit. */
export type AmountMinor = number;
export type Metadata = Record<string, string>;

export interface List<T> {
  data: T[];
  has_more: boolean;
}

export interface Price {
  key: string;
  currency: string;
  amount: AmountMinor;
  /** In words, such as "$10.00 / month". */
  display: string;
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

export interface Config {
  object: "config";
  livemode: boolean;
  stripe_publishable_key: string | null;
  stripe_api_version: string;
  public_url: string;
  currencies: string[];
  languages: string[];
  language: string;
}

export interface Identity {
  channel: string;
  external_id: string | number;
}

/** An id (`cst_…`), an identity, or in a page `"me"`. */
export type CustomerRef = string | Identity;

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

export interface Payment {
  id: string;
  order: string;
  customer: string;
  status: string;
  amount: AmountMinor;
  currency: string;
  client_secret: string | null;
  [more: string]: unknown;
}

export interface Refund {
  id: string;
  status: string;
  amount: AmountMinor;
  currency: string;
  [more: string]: unknown;
}

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
  order: string | null;
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
  pending_change: { price: string; quantity: number; at: Moment } | null;
  latest_invoice: Invoice | null;
  livemode: boolean;
  created_at: Moment;
}

/** A subscription that was just begun: while it is `incomplete`, how its buyer goes on. */
export interface NewSubscription extends Subscription {
  client_secret: string | null;
  url: string | null;
}

export interface Lot {
  source: string | null;
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

export interface Hold {
  id: string;
  object: "hold";
  status: string;
  customer: string;
  unit: string;
  amount: number;
  balance: number;
  [more: string]: unknown;
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

// --- what is sent ----------------------------------------------------------------------------------------------------

/** A price of the catalogue; servers may also name an amount, which grants nothing. */
export type Item =
  | { price: string; quantity?: number }
  | { name: string; amount: AmountMinor; currency: string; quantity?: number };

export interface CheckoutGiven {
  customer: CustomerRef;
  items: Item[];
  success_url?: string;
  cancel_url?: string;
  conversation?: string;
  metadata?: Metadata;
  save_card?: boolean;
  /** Paid in the payment form: no page at Stripe is made yet. */
  form?: boolean;
  coupon?: string;
  promotion_code?: string;
  allow_promotion_codes?: boolean;
  payment_method_collection?: "always" | "if_required";
}

export interface PaymentGiven {
  customer: CustomerRef;
  items?: Item[];
  amount?: AmountMinor;
  currency?: string;
  description?: string;
  capture_method?: "automatic" | "manual";
  payment_method?: string;
  confirm?: boolean;
  off_session?: boolean;
  setup_future_usage?: "on_session" | "off_session";
  return_url?: string;
  conversation?: string;
  metadata?: Metadata;
}

export interface SubscriptionGiven {
  customer: CustomerRef;
  price: string;
  quantity?: number;
  payment_method?: string;
  trial?: boolean;
  coupon?: string;
  promotion_code?: string;
  conversation?: string;
  metadata?: Metadata;
}

export interface SubscriptionChange {
  price?: string;
  quantity?: number;
  when?: "now" | "period_end";
  proration?: "always_invoice" | "none";
  pause?: boolean;
  cancel_at_period_end?: boolean;
}

export interface CustomerGiven {
  identities?: Identity[];
  email?: string;
  name?: string;
  locale?: string;
  metadata?: Metadata;
}

export interface CreditsGiven {
  amount: number;
  unit?: string;
  reason?: string;
}

export interface RefundGiven {
  payment?: string;
  order?: string;
  amount?: AmountMinor;
  reason?: "duplicate" | "fraudulent" | "requested_by_customer";
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

// --- routes under /api, for front ends that know them ----------------------------------------------------------------

export type Enveloped<T> = { success: true; data: T } | { success: false; error: Required<PaydeskErrorFields> };

export interface CheckoutSessionGiven {
  user_id: number | string;
  price_id: string;
  success_url: string;
  cancel_url: string;
  mode?: "payment" | "subscription";
}

export interface StripeService {
  createCheckoutSession(given: CheckoutSessionGiven, options?: WriteOptions): Promise<Enveloped<{ url: string; [more: string]: unknown }>>;
  createSubscription(given: { user_id: number | string; price_id: string; [more: string]: unknown }, options?: WriteOptions): Promise<Enveloped<Record<string, unknown>>>;
  cancelSubscription(subscription: string, options?: WriteOptions): Promise<Enveloped<Record<string, unknown>>>;
  customerPortal(userId: number | string, options?: RequestOptions): Promise<Enveloped<{ url: string; [more: string]: unknown }>>;
  products(options?: RequestOptions): Promise<Enveloped<unknown>>;
  subscriptions(userId: number | string, options?: RequestOptions): Promise<Enveloped<unknown>>;
  credits(userId: number | string, options?: RequestOptions): Promise<Enveloped<{ user_id: number | string; balance: number }>>;
  addCredits(userId: number | string, given: { amount: number; [more: string]: unknown }, options?: WriteOptions): Promise<Enveloped<Record<string, unknown>>>;
  spendCredits(userId: number | string, given: { amount: number; [more: string]: unknown }, options?: WriteOptions): Promise<Enveloped<Record<string, unknown>>>;
  subscriptionSummary(userId: number | string, options?: RequestOptions): Promise<Enveloped<Record<string, unknown>>>;
  dashboard(options?: RequestOptions): Promise<Enveloped<Record<string, unknown>>>;
}

// --- the client ------------------------------------------------------------------------------------------------------

export declare class Paydesk {
  constructor(options: PaydeskOptions);
  readonly url: string;

  config(options?: RequestOptions): Promise<Config>;

  readonly products: { list(options?: RequestOptions): Promise<List<Product>> };
  readonly customers: {
    create(given: CustomerGiven, options?: WriteOptions): Promise<Customer>;
    retrieve(customer: string, options?: RequestOptions): Promise<Customer>;
    find(who: Identity, options?: RequestOptions): Promise<List<Customer>>;
  };
  /** For servers: what the page of a buyer needs to act for them. */
  readonly customerSessions: {
    create(given: { customer: CustomerRef; expires_in_s?: number }, options?: WriteOptions): Promise<CustomerSession>;
  };
  readonly checkouts: { create(given: CheckoutGiven, options?: WriteOptions): Promise<Order> };
  readonly orders: {
    retrieve(order: string, options?: RequestOptions): Promise<Order>;
    cancel(order: string, options?: WriteOptions): Promise<Order>;
  };
  readonly payments: {
    create(given: PaymentGiven, options?: WriteOptions): Promise<Payment>;
    retrieve(payment: string, options?: RequestOptions): Promise<Payment>;
    cancel(payment: string, options?: WriteOptions): Promise<Payment>;
    capture(payment: string, given?: { amount?: AmountMinor }, options?: WriteOptions): Promise<Payment>;
  };
  readonly refunds: {
    create(given: RefundGiven, options?: WriteOptions): Promise<Refund>;
    retrieve(refund: string, options?: RequestOptions): Promise<Refund>;
    list(query: { payment?: string; order?: string; limit?: number; starting_after?: string }, options?: RequestOptions): Promise<List<Refund>>;
  };
  readonly portal: {
    create(given: { customer?: CustomerRef; return_url?: string }, options?: WriteOptions): Promise<{ customer: string; url: string }>;
  };
  readonly subscriptions: {
    list(query?: { customer?: string; status?: SubscriptionStatus | "live"; limit?: number; starting_after?: string }, options?: RequestOptions): Promise<List<Subscription>>;
    create(given: SubscriptionGiven, options?: WriteOptions): Promise<NewSubscription>;
    retrieve(subscription: string, options?: RequestOptions): Promise<Subscription>;
    change(subscription: string, given: SubscriptionChange, options?: WriteOptions): Promise<Subscription>;
    /** Take back that it ends. */
    resume(subscription: string, options?: WriteOptions): Promise<Subscription>;
    /** End it with its period (as a buyer may), or, from a server, `now`. */
    cancel(subscription: string, options?: WriteOptions & { at?: "period_end" | "now" }): Promise<Subscription>;
  };
  readonly credits: {
    retrieve(customer?: string, query?: { unit?: string } | null, options?: RequestOptions): Promise<Credits>;
    spend(customer: string, given: CreditsGiven, options?: WriteOptions): Promise<CreditOperation>;
    grant(customer: string, given: CreditsGiven & { expires_days?: number; expires_at?: Moment }, options?: WriteOptions): Promise<CreditOperation>;
    hold(customer: string, given: CreditsGiven & { lasts_s?: number }, options?: WriteOptions): Promise<Hold>;
  };
  readonly holds: {
    settle(hold: string, given: { amount: number }, options?: WriteOptions): Promise<Hold>;
    release(hold: string, options?: WriteOptions): Promise<Hold>;
  };
  readonly access: { check(feature: string, options?: RequestOptions & { customer?: string }): Promise<Access> };
  readonly forms: {
    config(query?: { locale?: string }, options?: RequestOptions): Promise<FormConfig>;
    preview(query: { price: string; quantity?: number | string; locale?: string }, options?: RequestOptions): Promise<FormPreview>;
    retrieve(token: string, query?: { locale?: string }, options?: RequestOptions): Promise<FormOrder>;
    status(token: string, options?: RequestOptions): Promise<{ state: FormState }>;
    press(token: string, options?: RequestOptions): Promise<Pressed>;
    look(token: string, options?: RequestOptions): Promise<{ state: FormState }>;
  };
  readonly stripeService: StripeService;

  /** A call that has no method of its own. */
  request<T = unknown>(method: string, path: string, options?: WriteOptions & { body?: unknown; query?: Record<string, unknown> | null }): Promise<T>;
}

export default Paydesk;
