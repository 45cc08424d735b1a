/** Types of `stripeService`: the routes under /api, for front ends that know them. They answer, and do not throw, a refusal. */

import type { PaydeskErrorFields, RequestOptions, WriteOptions } from "./paydesk-client.js";
import type { CreditStats, MoneyStats, SubscriptionStats } from "./paydesk-operation.js";
import type { AmountMinor, Metadata, Moment } from "./paydesk-shapes.js";

export type Enveloped<T> = { success: true; data: T } | { success: false; error: Required<PaydeskErrorFields> };

/** The platform's own number or name of a user. */
export type UserId = number | string;

export interface CheckoutSessionGiven {
  user_id: UserId;
  /** A price's key in the catalogue, or a Stripe price id that the catalogue names. */
  price_id: string;
  quantity?: number;
  success_url?: string;
  cancel_url?: string;
  mode?: "payment" | "subscription";
  metadata?: Metadata;
}

export interface PlatformSubscriptionGiven {
  user_id: UserId;
  price_id: string;
  quantity?: number;
  payment_method?: string;
  metadata?: Metadata;
}

export interface PlatformSession {
  session_id: string | null;
  url: string;
  link: string;
  status: string;
  order: string;
}

export interface PlatformSubscription {
  id: string;
  user_id: UserId | null;
  status: string;
  price_id: string | null;
  product: string | null;
  quantity: number;
  current_period_start: Moment | null;
  current_period_end: Moment | null;
  cancel_at_period_end: boolean;
  cancel_at: Moment | null;
  trial_end: Moment | null;
  ended_at: Moment | null;
  until: Moment | null;
  created_at: Moment;
}

/** While it is to be paid, `client_secret` or `url` lets the buyer go on. */
export interface NewPlatformSubscription extends PlatformSubscription {
  client_secret: string | null;
  url: string | null;
}

export interface PlatformPrice {
  id: string;
  stripe_price_id: string | null;
  amount: AmountMinor;
  currency: string;
  display: string;
  interval: string | null;
  interval_count: number;
  trial_days: number;
}

export interface PlatformProduct {
  id: string;
  name: string;
  description: string | null;
  image: string | null;
  credits: number;
  prices: PlatformPrice[];
}

export interface PlatformCredits {
  user_id: UserId;
  balance: number;
}

export interface PlatformBalance extends PlatformCredits {
  amount: number;
  transaction_id: string;
}

export interface PlatformSummary {
  user_id: UserId;
  total: number;
  live: number;
  active: number;
  trialing: number;
  past_due: number;
  unpaid: number;
  paused: number;
  canceled: number;
  ending: number;
  renews_at: Moment | null;
  mrr: { currency: string; amount: AmountMinor }[];
  paid: { currency: string; gross: AmountMinor; refunded: AmountMinor }[];
}

export interface PlatformDashboard {
  from: Moment;
  to: Moment;
  timezone: string;
  totals: MoneyStats[];
  subscriptions: SubscriptionStats;
  credits: CreditStats[];
}

type Answer<T> = Promise<Enveloped<T>>;
type CreditsGiven = { amount: number; reason?: string };

export interface StripeService {
  createCheckoutSession(given: CheckoutSessionGiven, options?: WriteOptions): Answer<PlatformSession>;
  createSubscription(given: PlatformSubscriptionGiven, options?: WriteOptions): Answer<NewPlatformSubscription>;
  cancelSubscription(subscription: string, options?: WriteOptions): Answer<PlatformSubscription>;
  customerPortal(user: UserId, options?: RequestOptions): Answer<{ user_id: UserId; url: string }>;
  products(options?: RequestOptions): Answer<{ products: PlatformProduct[] }>;
  subscriptions(user: UserId, options?: RequestOptions): Answer<{ user_id: UserId; subscriptions: PlatformSubscription[] }>;
  credits(user: UserId, options?: RequestOptions): Answer<PlatformCredits>;
  addCredits(user: UserId, given: CreditsGiven, options?: WriteOptions): Answer<PlatformBalance>;
  spendCredits(user: UserId, given: CreditsGiven, options?: WriteOptions): Answer<PlatformBalance>;
  subscriptionSummary(user: UserId, options?: RequestOptions): Answer<PlatformSummary>;
  dashboard(options?: RequestOptions): Answer<PlatformDashboard>;
}

export {};
