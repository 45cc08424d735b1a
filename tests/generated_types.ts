// A small sale in the types that were generated from the description: compiled, not run.
import type { components, operations } from "./paydesk";

type Order = components["schemas"]["Order"];
type Made = operations["create_checkout"]["responses"][201]["content"]["application/json"];
type Refused = operations["create_checkout"]["responses"][402]["content"]["application/json"];
type Wish = operations["create_checkout"]["requestBody"]["content"]["application/json"];
type Filter = NonNullable<operations["list_orders"]["parameters"]["query"]>;
type Listed = operations["list_orders"]["responses"][200]["content"]["application/json"];

const wish: Wish = { customer: { channel: "telegram", external_id: "42" }, items: [{ price: "credits-10", quantity: 1 }] };
const filter: Filter = { customer: "cst_1", status: "paid", limit: 5, from: "2030-01-31T12:00:00Z" };
// @ts-expect-error a status that no order has
const wrong: Filter = { status: "sold" };
// @ts-expect-error an item's price is a text
const mistaken: Wish = { customer: "me", items: [{ price: 7 }] };

export function link(made: Made): string {
  const order: Order = made;
  return order.url ?? order.link;
}

export const code = (refused: Refused): string => refused.error.code;
export const amounts = (listed: Listed): number[] => listed.data.map((order) => order.amount);
export const all = [wish, filter, wrong, mistaken];
