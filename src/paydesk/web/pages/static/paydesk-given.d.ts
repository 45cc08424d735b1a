/** What is sent to Paydesk, and by what its lists are filtered, as types. */

import type { DeliveryState, EventState, RefundRequestStatus, Scope } from "./paydesk-operation.js";
import type {
  AmountMinor, DisputeStatus, HoldStatus, Metadata, Moment, OrderStatus, PaymentStatus, RefundStatus, SubscriptionStatus,
} from "./paydesk-shapes.js";

/** Where somebody is met. */
export interface IdentityGiven {
  channel: string;
  external_id: string | number;
}

/** An id (`cst_…`), where somebody is met, or in a page `"me"`. */
export type CustomerRef = string | IdentityGiven;

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
  identities?: IdentityGiven[];
  email?: string;
  name?: string;
  locale?: string;
  metadata?: Metadata;
}

/** What is to change of a person: what is not sent stays, null takes it away; of `metadata` the sent keys change. */
export interface CustomerChange {
  email?: string | null;
  name?: string | null;
  locale?: string | null;
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

export interface TopUpGiven {
  /** A price of the catalogue that gives credits. */
  price: string;
  below: number;
  month_limit: AmountMinor;
  payment_method?: string;
}

export interface WebhookEndpointGiven {
  url: string;
  /** Types of events, `order.*` for all of a kind, `*` for all. */
  enabled_events?: string[];
  description?: string;
}

export interface KeyGiven {
  name: string;
  kind?: "secret" | "publishable";
  scopes?: Scope[];
  origins?: string[];
  expires_in_s?: number;
  rate_per_s?: number;
}

export interface RefundRequestGiven {
  order: string;
  amount?: AmountMinor;
  reason: string;
  agent?: string;
}

export interface ChatGiven {
  channel: string;
  external_id: string | number;
  text: string;
  locale?: string;
  conversation?: string;
}

// --- what lists are filtered by --------------------------------------------------------------------------------------

/** Which part of a list: at most `limit` (100 where all are walked through), older or newer than one, from a time to before another. */
export interface ListQuery {
  limit?: number;
  starting_after?: string;
  ending_before?: string;
  from?: Moment | Date;
  to?: Moment | Date;
}

export interface CustomerQuery extends ListQuery {
  channel?: string;
  external_id?: string | number;
  email?: string;
}

export interface OrderQuery extends ListQuery {
  customer?: string;
  status?: OrderStatus;
  channel?: string;
}

export interface PaymentQuery extends ListQuery {
  customer?: string;
  order?: string;
  status?: Exclude<PaymentStatus, "requires_confirmation" | "requires_action">;
  channel?: string;
}

export interface RefundQuery extends ListQuery {
  customer?: string;
  order?: string;
  payment?: string;
  status?: RefundStatus;
}

export interface DisputeQuery extends ListQuery {
  customer?: string;
  order?: string;
  payment?: string;
  status?: DisputeStatus;
}

export interface SubscriptionQuery extends ListQuery {
  customer?: string;
  order?: string;
  /** `live` are those that are not over. */
  status?: SubscriptionStatus | "live";
}

export interface HoldQuery extends ListQuery {
  customer: string;
  status?: HoldStatus;
}

export interface TimelineQuery extends ListQuery {
  what?: string;
}

export interface LedgerQuery extends ListQuery {
  unit?: string;
}

export interface EventQuery extends ListQuery {
  state?: EventState;
  type?: string;
}

export interface DeliveryQuery extends ListQuery {
  state?: DeliveryState;
  customer?: string;
  channel?: string;
}

export interface RefundRequestQuery extends ListQuery {
  status?: RefundRequestStatus;
}

export interface PriceQuery {
  product?: string;
  currency?: string;
  interval?: "day" | "week" | "month" | "year" | null;
}

export interface MessageQuery {
  channel: string;
  external_id: string | number;
  /** What is newer than this message. */
  after?: number;
  limit?: number;
}

export interface StatsQuery {
  from?: Moment | Date;
  to?: Moment | Date;
  by?: "day" | "currency" | "product" | "channel";
  currency?: string;
  product?: string;
  channel?: string;
  timezone?: string;
}
