/** A shop in one component: what is for sale, the payment form, the balance, and the subscriptions. */

import { useCallback, useState } from "react";
import "paydesk";
import type {} from "paydesk/react";
import type { PaydeskEventMap } from "paydesk";

export interface ShopProps {
  /** Where Paydesk is. */
  url: string;
  publishableKey: string;
  /** The buyer's token, which your server asked for: POST /v1/customer_sessions. */
  customerToken: string;
  price: string;
}

export function Shop({ url, publishableKey, customerToken, price }: ShopProps) {
  const [said, setSaid] = useState("");
  const paid = useCallback((event: PaydeskEventMap["paydesk-paid"]) => setSaid(`Thank you for ${event.detail.order}`), []);
  const failed = useCallback((event: PaydeskEventMap["paydesk-failed"]) => setSaid(event.detail.code), []);
  const paydesk = { url, "publishable-key": publishableKey, "customer-token": customerToken };
  return (
    <main>
      <paydesk-payment-form {...paydesk} price={price} onpaydesk-paid={paid} onpaydesk-failed={failed} />
      <p role="status">{said}</p>
      <paydesk-balance {...paydesk} />
      <paydesk-subscriptions {...paydesk} />
    </main>
  );
}
