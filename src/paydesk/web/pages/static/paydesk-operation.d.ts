/** What Paydesk answers to the programs of a desk's own people: events, deliveries, keys, figures, the conversation. */

import type { AmountMinor, Moment, OrderStatus } from "./paydesk-shapes.js";

// --- operation -------------------------------------------------------------------------------------------------------

export type EventState = "ready" | "parked" | "done" | "ignored" | "quarantined";

/** What came in, and what became of it. */
export interface InboxEvent {
  id: string;
  source: string;
  type: string;
  state: EventState;
  detail: string | null;
  attempts: number;
  livemode: boolean;
  received_at: Moment;
  finished_at: Moment | null;
}

export type DeliveryState = "waiting" | "sent" | "dead";

/** What is to be said or done outside. */
export interface Delivery {
  id: string;
  channel: string;
  customer: string | null;
  template: string;
  state: DeliveryState;
  attempts: number;
  detail: string | null;
  created_at: Moment;
  finished_at: Moment | null;
}

/** How much waits where. */
export interface Status {
  inbox: { waiting: number; parked: number; quarantined: number };
  outbox: { waiting: number; held: number; dead: number };
  timers: { waiting: number; due: number };
}

export interface WebhookEndpoint {
  id: string;
  object: "webhook_endpoint";
  url: string;
  description: string | null;
  enabled_events: string[];
  status: "enabled" | "disabled";
  disabled_at: Moment | null;
  disabled_because: string | null;
  failures: number;
  failing_since: Moment | null;
  old_secret_until: Moment | null;
  created_at: Moment;
}

/** With its secret, which is shown once. */
export interface WebhookEndpointWithSecret extends WebhookEndpoint {
  secret: string;
}

export interface Deleted {
  id: string;
  object: string;
  deleted: true;
}

export type Scope = "read" | "sell" | "spend" | "refund" | "admin";

export interface Key {
  id: string;
  object: "key";
  kind: "secret" | "publishable";
  name: string;
  prefix: string | null;
  scopes: Scope[];
  origins: string[];
  rate_per_s: number | null;
  status: string;
  created_at: Moment;
  last_used_at: Moment | null;
  expires_at: Moment | null;
  revoked_at: Moment | null;
  rotated_to: string | null;
}

/** With the key itself, which is shown once. */
export interface KeyItself extends Key {
  key: string;
}

/** What a key may do for a program that acts for people. */
export interface Agent {
  key: string;
  scopes: Scope[];
  refunds: { currency: string; amount_max: AmountMinor; day_max: AmountMinor }[];
}

export type RefundRequestStatus = "waiting" | "expired" | "refused" | "approved" | "refunded" | "failed";

/** A refund that a program asks for; nothing goes back before a person approves it. */
export interface RefundRequest {
  id: string;
  object: "refund_request";
  status: RefundRequestStatus;
  order: string;
  customer: string;
  amount: AmountMinor;
  currency: string;
  reason: string;
  agent: string;
  key: string;
  decided_by: string | null;
  detail: string | null;
  refund: string | null;
  refund_status: string | null;
  created_at: Moment;
  expires_at: Moment;
  decided_at: Moment | null;
}

// --- conversation ----------------------------------------------------------------------------------------------------

/** A button: `url` is opened, `command` is said. */
export interface Button {
  label: string;
  url?: string | null;
  command?: string | null;
}

export interface Replies {
  replies: { text: string; buttons: Button[] }[];
}

export interface Message {
  id: number;
  direction: "in" | "out";
  text: string;
  buttons: Button[];
  conversation: string | null;
  created_at: Moment;
}

// --- statistics ------------------------------------------------------------------------------------------------------

/** A part of a whole, as a decimal text. */
export type Rate = string | null;

/** What happened in one currency, in its smallest unit. */
export interface MoneyStats {
  currency: string;
  gross: AmountMinor;
  refunded: AmountMinor;
  disputed: AmountMinor;
  fees: AmountMinor;
  net: AmountMinor;
  successful: number;
  failed: number;
  success_rate: Rate;
  refunds: number;
  refund_rate: Rate;
  refund_rate_by_amount: Rate;
  average_payment: AmountMinor | null;
  disputes: Record<"opened" | "won" | "lost" | "open" | "inquiries" | "amount_lost" | "amount_open", number>;
  orders: Record<OrderStatus | "made", number>;
}

/** A row of the breakdown: it has the field that `by` names. */
export interface StatsRow extends MoneyStats {
  day?: string | null;
  product?: string | null;
  channel?: string | null;
}

export interface SubscriptionStats {
  active: number;
  new: number;
  churned: number;
  active_before: number;
  churn_rate: Rate;
  trialing: number;
  past_due: number;
  mrr: { currency: string; amount: AmountMinor }[];
}

export interface CreditStats {
  unit: string;
  granted: number;
  spent: number;
  expired: number;
  clawed_back: number;
  outstanding: number;
}

export interface Stats {
  from: string;
  to: string;
  timezone: string;
  by: "day" | "currency" | "product" | "channel" | null;
  totals: MoneyStats[];
  data: StatsRow[];
  subscriptions: SubscriptionStats | null;
  credits: CreditStats[] | null;
}
