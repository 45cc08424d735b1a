/** The page on which a user pays, and an admin sees what came of it. */

import { useState } from "react";
import { createRoot } from "react-dom/client";
import AdminFinancialDashboard from "../components/AdminFinancialDashboard";
import PaymentForm from "../components/PaymentForm";
import SubscriptionManager from "../components/SubscriptionManager";
import { stripeService } from "../services/stripe";

async function subscribe(): Promise<string> {
  const checkoutData = {
    user_id: 123,
    price_id: "plus",
    success_url: location.href,
    cancel_url: location.href,
    mode: "subscription" as const,
  };

  const result = await stripeService.createCheckoutSession(checkoutData);
  if (result.success) {
    window.location.href = result.data.url;
    return "";
  }
  return result.error.message;
}

function Billing() {
  const [said, setSaid] = useState("");
  return (
    <main>
      <h1>Billing</h1>
      <p role="status">{said}</p>
      <PaymentForm
        amount={2500} // $25.00 in cents
        currency="USD"
        onSuccess={(paymentResult) => {
          setSaid(`Payment successful: ${paymentResult.order}`);
        }}
        onError={(error) => {
          setSaid(`Payment failed: ${error.code}`);
        }}
        description="Premium Plan Subscription"
      />
      <button type="button" onClick={() => void subscribe().then(setSaid)}>
        Subscribe
      </button>
      <SubscriptionManager userId={123} />
      <AdminFinancialDashboard />
    </main>
  );
}

createRoot(document.getElementById("billing")!).render(<Billing />);
