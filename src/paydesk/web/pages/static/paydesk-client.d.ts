/** Types of paydesk-client.js: the client of Paydesk's API for browsers and Node. */

import type * as Given from "./paydesk-given.js";
import type * as Operation from "./paydesk-operation.js";
import type { StripeService } from "./paydesk-platform.js";
import type * as Shapes from "./paydesk-shapes.js";

export * from "./paydesk-given.js";
export * from "./paydesk-operation.js";
export * from "./paydesk-platform.js";
export * from "./paydesk-shapes.js";

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
  declineCode?: string | null;
  payment?: string | null;
}

/** What Paydesk refused, or that it could not be reached (`status` 0, `code` "connection" or "timeout"). */
export declare class PaydeskError extends Error {
  constructor(fields: PaydeskErrorFields, options?: { cause?: unknown });
  readonly code: string;
  /** What is refused of what was sent. */
  readonly param: string | null;
  /** The number of the request, which stands in Paydesk's log. */
  readonly requestId: string | null;
  /** The HTTP status; 0 when there was no answer. */
  readonly status: number;
  /** Seconds after which the same request makes sense again. */
  readonly retryAfter: number | null;
  /** Of a declined card: the bank's reason. */
  readonly declineCode: string | null;
  /** Of a declined card: the payment, which can still be paid. */
  readonly payment: string | null;
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
  /** How often a call is repeated after a lost connection, 429, or 502 to 504. */
  retries?: number;
  debug?: boolean;
  fetch?: typeof fetch;
}

/**
 * A list, asked for when it is wanted. Awaited it is its first page; in `for await` it is everything, a page at a time:
 * the newest first, and with `ending_before` from that one towards the newest.
 */
export declare class Listing<T> implements Promise<Shapes.List<T>>, AsyncIterable<T> {
  readonly [Symbol.toStringTag]: string;
  then<A = Shapes.List<T>, B = never>(
    done?: ((page: Shapes.List<T>) => A | PromiseLike<A>) | null,
    failed?: ((reason: unknown) => B | PromiseLike<B>) | null,
  ): Promise<A | B>;
  catch<A = never>(failed?: ((reason: unknown) => A | PromiseLike<A>) | null): Promise<Shapes.List<T> | A>;
  finally(ended?: (() => void) | null): Promise<Shapes.List<T>>;
  [Symbol.asyncIterator](): AsyncGenerator<T, void, undefined>;
  /** The pages, each asked for when it is needed. */
  pages(): AsyncGenerator<Shapes.List<T>, void, undefined>;
  /** The first `max` of them. */
  toArray(options: { max: number }): Promise<T[]>;
}

type Read = RequestOptions;
type Write = WriteOptions;
type Lists<Query, T> = (query?: Query, options?: Read) => Listing<T>;
type Retrieves<T> = (id: string, options?: Read) => Promise<T>;
type Creates<Sent, T> = (given: Sent, options?: Write) => Promise<T>;
type Acts<T> = (id: string, options?: Write) => Promise<T>;

export declare class Paydesk {
  constructor(options: PaydeskOptions);
  /** Where Paydesk is, without a slash at its end. */
  readonly url: string;

  /** A call that has no method of its own. */
  request<T = unknown>(
    method: string,
    path: string,
    options?: WriteOptions & { body?: unknown; query?: object | null },
  ): Promise<T>;

  // --- what is sold

  /** What a page has to know before it shows anything. */
  config(options?: Read): Promise<Shapes.Config>;
  readonly products: { list(options?: Read): Listing<Shapes.Product>; retrieve: Retrieves<Shapes.Product> };
  /** The prices of all products, each with the product that it is of. */
  readonly prices: { list: Lists<Given.PriceQuery, Shapes.ListedPrice> };

  // --- people

  readonly customers: {
    create: Creates<Given.CustomerGiven, Shapes.Customer>;
    retrieve: Retrieves<Shapes.Customer>;
    update(customer: string, given: Given.CustomerChange, options?: Write): Promise<Shapes.Customer>;
    list: Lists<Given.CustomerQuery, Shapes.Customer>;
    /** Who is met there: a list of one, or of nobody. */
    find(who: Given.IdentityGiven, options?: Read): Listing<Shapes.Customer>;
    /** Make another one the same person. It cannot be undone. */
    merge(customer: string, given: { customer: Given.CustomerRef }, options?: Write): Promise<Shapes.Customer>;
    /** Let a person be met at one more place. */
    link(customer: string, identity: Given.IdentityGiven, options?: Write): Promise<Shapes.Customer>;
    unlink(customer: string, identity: Given.IdentityGiven, options?: Write): Promise<Shapes.Customer>;
    ledger(customer: string, query?: Given.LedgerQuery, options?: Read): Listing<Shapes.Entry>;
    /** The whole trace, the newest first; the `cursor` of a step leads back to it. */
    timeline(customer: string, query?: Given.TimelineQuery, options?: Read): Listing<Shapes.Step>;
  };
  /** For servers: what the page of a buyer needs to act for them. */
  readonly customerSessions: {
    create: Creates<{ customer: Given.CustomerRef; expires_in_s?: number }, Shapes.CustomerSession>;
  };
  readonly memberships: {
    /** In the order of their features, which are the cursors. */
    list(customer: string, query?: Given.ListQuery, options?: Read): Listing<Shapes.Membership>;
    /** Give a person their roles and places again. */
    sync(customer: string, options?: Write): Promise<Shapes.List<Shapes.Membership>>;
  };
  readonly access: {
    check(feature: string, options?: Read & { customer?: string }): Promise<Shapes.Access>;
    /** Start what was sold to run from when it is claimed. */
    claim(given?: { feature?: string } | null, options?: Write & { customer?: string }): Promise<Shapes.List<Shapes.Claimed>>;
  };

  // --- selling

  readonly checkouts: { create: Creates<Given.CheckoutGiven, Shapes.Order> };
  readonly orders: {
    list: Lists<Given.OrderQuery, Shapes.Order>;
    retrieve: Retrieves<Shapes.Order>;
    cancel: Acts<Shapes.Order>;
  };
  readonly payments: {
    list: Lists<Given.PaymentQuery, Shapes.Payment>;
    create: Creates<Given.PaymentGiven, Shapes.Payment>;
    retrieve: Retrieves<Shapes.Payment>;
    cancel: Acts<Shapes.Payment>;
    capture(payment: string, given?: { amount?: Shapes.AmountMinor }, options?: Write): Promise<Shapes.Payment>;
  };
  readonly refunds: {
    list: Lists<Given.RefundQuery, Shapes.Refund>;
    create: Creates<Given.RefundGiven, Shapes.Refund>;
    retrieve: Retrieves<Shapes.Refund>;
  };
  readonly disputes: { list: Lists<Given.DisputeQuery, Shapes.Dispute>; retrieve: Retrieves<Shapes.Dispute> };

  // --- subscriptions

  readonly subscriptions: {
    /** A page's buyer sees their own; a server sees all, or those of `customer`. */
    list: Lists<Given.SubscriptionQuery, Shapes.Subscription>;
    create: Creates<Given.SubscriptionGiven, Shapes.NewSubscription>;
    retrieve: Retrieves<Shapes.Subscription>;
    change(subscription: string, given: Given.SubscriptionChange, options?: Write): Promise<Shapes.Subscription>;
    pause: Acts<Shapes.Subscription>;
    unpause: Acts<Shapes.Subscription>;
    /** Take back that it ends. */
    resume: Acts<Shapes.Subscription>;
    /** End it with its period (as a buyer may), or, from a server, `now`. */
    cancel(subscription: string, options?: Write & { at?: "period_end" | "now" }): Promise<Shapes.Subscription>;
  };
  readonly portal: { create: Creates<{ customer?: Given.CustomerRef; return_url?: string }, Shapes.Portal> };

  // --- credits

  readonly credits: {
    retrieve(customer?: string, query?: { unit?: string } | null, options?: Read): Promise<Shapes.Credits>;
    spend(customer: string, given: Given.CreditsGiven, options?: Write): Promise<Shapes.CreditOperation>;
    grant(
      customer: string,
      given: Given.CreditsGiven & { expires_days?: number; expires_at?: Shapes.Moment },
      options?: Write,
    ): Promise<Shapes.CreditOperation>;
    hold(customer: string, given: Given.CreditsGiven & { lasts_s?: number }, options?: Write): Promise<Shapes.Hold>;
  };
  readonly holds: {
    list(query: Given.HoldQuery, options?: Read): Listing<Shapes.Hold>;
    retrieve: Retrieves<Shapes.Hold>;
    settle(hold: string, given: { amount: number }, options?: Write): Promise<Shapes.Hold>;
    release: Acts<Shapes.Hold>;
  };
  /** Credits that are bought again by themselves. */
  readonly topups: {
    create(customer: string, given: Given.TopUpGiven, options?: Write): Promise<Shapes.TopUp>;
    retrieve(customer: string, query?: { unit?: string } | null, options?: Read): Promise<Shapes.TopUp>;
    remove(customer: string, query?: { unit?: string } | null, options?: Write): Promise<Shapes.TopUp>;
  };

  // --- operation

  readonly stats: { retrieve(query?: Given.StatsQuery, options?: Read): Promise<Operation.Stats> };
  readonly status: { retrieve(options?: Read): Promise<Operation.Status> };
  readonly events: {
    list: Lists<Given.EventQuery, Operation.InboxEvent>;
    retrieve: Retrieves<Operation.InboxEvent>;
    replay: Acts<Operation.InboxEvent>;
  };
  readonly deliveries: {
    list: Lists<Given.DeliveryQuery, Operation.Delivery>;
    retrieve: Retrieves<Operation.Delivery>;
    retry: Acts<Operation.Delivery>;
  };
  readonly webhookEndpoints: {
    list: Lists<Given.ListQuery, Operation.WebhookEndpoint>;
    create: Creates<Given.WebhookEndpointGiven, Operation.WebhookEndpointWithSecret>;
    retrieve: Retrieves<Operation.WebhookEndpoint>;
    update(
      id: string,
      given: Partial<Given.WebhookEndpointGiven> & { disabled?: boolean },
      options?: Write,
    ): Promise<Operation.WebhookEndpoint>;
    enable: Acts<Operation.WebhookEndpoint>;
    rotate: Acts<Operation.WebhookEndpointWithSecret>;
    remove: Acts<Operation.Deleted>;
  };
  readonly keys: {
    list: Lists<Given.ListQuery, Operation.Key>;
    create: Creates<Given.KeyGiven, Operation.KeyItself>;
    retrieve: Retrieves<Operation.Key>;
    rotate(key: string, given?: { overlap_s?: number }, options?: Write): Promise<Operation.KeyItself>;
    revoke: Acts<Operation.Key>;
  };
  readonly refundRequests: {
    list: Lists<Given.RefundRequestQuery, Operation.RefundRequest>;
    create: Creates<Given.RefundRequestGiven, Operation.RefundRequest>;
    retrieve: Retrieves<Operation.RefundRequest>;
  };
  readonly agent: { retrieve(options?: Read): Promise<Operation.Agent> };
  readonly chat: {
    say: Creates<Given.ChatGiven, Operation.Replies>;
    /** What came by itself, the oldest first. */
    messages(query: Given.MessageQuery, options?: Read): Listing<Operation.Message>;
  };

  // --- pages, and front ends that know /api

  readonly forms: {
    config(query?: { locale?: string }, options?: Read): Promise<Shapes.FormConfig>;
    preview(query: { price: string; quantity?: number | string; locale?: string }, options?: Read): Promise<Shapes.FormPreview>;
    retrieve(token: string, query?: { locale?: string }, options?: Read): Promise<Shapes.FormOrder>;
    status(token: string, options?: Read): Promise<{ state: Shapes.FormState }>;
    press(token: string, options?: Read): Promise<Shapes.Pressed>;
    look(token: string, options?: Read): Promise<{ state: Shapes.FormState }>;
  };
  readonly stripeService: StripeService;
}

export default Paydesk;
