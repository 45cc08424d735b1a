/** What a user is subscribed to, and their credits. The token says who the user is; `userId` must be the same one. */

import { useEffect, useState } from "react";
import "paydesk";
import type {} from "paydesk/react";
import { settings, stripeService } from "../../services/stripe";
import type { Settings } from "../../services/stripe";

export interface SubscriptionManagerProps {
  userId: number | string;
}

export default function SubscriptionManager({ userId }: SubscriptionManagerProps) {
  const [shown, setShown] = useState<Settings | null>(null);
  const [problem, setProblem] = useState("");
  useEffect(() => {
    let current = true;
    const load = async () => {
      const found = await stripeService.credits(userId); // somebody else's are not found
      if (!found.success) throw new Error(found.error.message);
      return settings();
    };
    load().then((own) => current && setShown(own), (error: Error) => current && setProblem(error.message));
    return () => {
      current = false;
    };
  }, [userId]);
  if (problem) return <p role="alert">{problem}</p>;
  if (!shown) return <p aria-busy="true">…</p>;
  const paydesk = { url: shown.url, "publishable-key": shown.publishableKey, "customer-token": shown.customerToken };
  return (
    <>
      <paydesk-balance {...paydesk} />
      <paydesk-subscriptions {...paydesk} />
    </>
  );
}
