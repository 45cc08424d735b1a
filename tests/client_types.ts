// What callers write, as TypeScript has to take it, and what it has to refuse.
import { Paydesk, PaydeskError, STRIPE_API_VERSION, STRIPE_DEBUG } from "paydesk";
import type { Enveloped, Order, PaydeskPaymentForm, PlatformSession, Price, Subscription } from "paydesk";

const version: string = STRIPE_API_VERSION;
const debug: boolean = STRIPE_DEBUG;
const paydesk = new Paydesk({ url: "https://pay.example.com", key: "pdk_pub_0", customer: async () => "pdc_0" });

export async function sell(signal: AbortSignal): Promise<Order> {
  const order = await paydesk.checkouts.create(
    { customer: { channel: "app", external_id: 42 }, items: [{ price: "credits-10", quantity: 2 }] },
    { idempotencyKey: "order-1", signal },
  );
  const balance: number = (await paydesk.credits.retrieve()).balance;
  const ended: Subscription = await paydesk.subscriptions.cancel("sub_1", { at: "period_end" });
  console.log(version, debug, balance, ended.cancel_at?.length);
  return order;
}

export async function asDocumented(): Promise<string | undefined> {
  const result = await paydesk.stripeService.createCheckoutSession({
    user_id: 123, price_id: "price_1", success_url: "https://a.example", cancel_url: "https://a.example", mode: "subscription",
  });
  return result.success ? result.data.url : undefined;
}

export function tell(error: unknown): string {
  return error instanceof PaydeskError ? `${error.status} ${error.code} ${error.param ?? ""} ${error.requestId ?? ""}` : "";
}

export async function figures(): Promise<number> {
  let sum = 0;
  for await (const order of paydesk.orders.list({ customer: "cst_1", status: "fulfilled", from: new Date() })) sum += order.amount;
  for await (const page of paydesk.refunds.list({ ending_before: "re_1" }).pages()) sum -= page.data.length;
  const held = await paydesk.holds.list({ customer: "cst_1" }).toArray({ max: 10 });
  const first: Price | undefined = (await paydesk.prices.list({ currency: "usd", interval: null })).data[0];
  const { totals } = await paydesk.stats.retrieve({ by: "day" });
  return sum + held.length + (first?.trial_days ?? 0) + totals.reduce((all, { net }) => all + net, 0);
}

export const shown = (answer: Enveloped<PlatformSession>): string => (answer.success ? answer.data.link : answer.error.message);

const form: PaydeskPaymentForm | null = document.querySelector("paydesk-payment-form");
form?.addEventListener("paydesk-paid", (event) => console.log(event.detail.order));
document.addEventListener("paydesk-balance", (event) => console.log(event.detail.balance + 1));

// @ts-expect-error - an address is needed
new Paydesk({ key: "pdk_0" });
// @ts-expect-error - an item is a price, or a name with amount and currency
void paydesk.checkouts.create({ customer: "me", items: [{ quantity: 1 }] });
// @ts-expect-error - there is no such status
void paydesk.orders.list({ status: "sold" });
// @ts-expect-error - somebody's holds
void paydesk.holds.list({});
// @ts-expect-error - a refusal has no data
export const wrong = (answer: Enveloped<PlatformSession>): string => answer.data.url;
// @ts-expect-error - there is no such end
void paydesk.subscriptions.cancel("sub_1", { at: "tomorrow" });
