/** What the front end asks for. Who the user is, and which Paydesk serves them, our own server says: GET /paydesk.json. */

import { Paydesk } from "paydesk";
import type { Enveloped, PlatformDashboard, StripeService } from "paydesk";

export interface Settings {
  url: string;
  publishableKey: string;
  /** The signed-in user's token, good for an hour. */
  customerToken: string;
}

let asked: Promise<Settings> | null = null;

/** The settings of this page, asked for once. */
export function settings(): Promise<Settings> {
  asked ??= own<Settings>("GET", "/paydesk.json").catch((error: unknown) => {
    asked = null;
    throw error;
  });
  return asked;
}

/** Ask our own server; throws what it says. */
export async function own<T>(method: string, path: string, body?: unknown): Promise<T> {
  const sent = body === undefined ? {} : { headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) };
  const answer = await fetch(path, { method, ...sent });
  const found = await answer.json();
  if (!answer.ok) throw Object.assign(new Error(found.error.message), { code: found.error.code });
  return found as T;
}

async function client(): Promise<Paydesk> {
  const { url, publishableKey, customerToken } = await settings();
  return new Paydesk({ url, key: publishableKey, customer: customerToken });
}

/** The calls of `/api/stripe` and `/api/financial` for the signed-in user: `{ success, data }` or `{ success, error }`. */
export const stripeService: StripeService = {
  createCheckoutSession: async (...given) => (await client()).stripeService.createCheckoutSession(...given),
  createSubscription: async (...given) => (await client()).stripeService.createSubscription(...given),
  cancelSubscription: async (...given) => (await client()).stripeService.cancelSubscription(...given),
  customerPortal: async (...given) => (await client()).stripeService.customerPortal(...given),
  products: async (...given) => (await client()).stripeService.products(...given),
  subscriptions: async (...given) => (await client()).stripeService.subscriptions(...given),
  credits: async (...given) => (await client()).stripeService.credits(...given),
  addCredits: async (...given) => (await client()).stripeService.addCredits(...given),
  spendCredits: async (...given) => (await client()).stripeService.spendCredits(...given),
  subscriptionSummary: async (...given) => (await client()).stripeService.subscriptionSummary(...given),
  dashboard: () => own<Enveloped<PlatformDashboard>>("GET", "/dashboard.json"), // for admins: our server asks for it
};
