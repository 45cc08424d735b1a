/** The elements in JSX of React 19 and later: `import type {} from "./paydesk-react.js"` once, anywhere. */

import type { DetailedHTMLProps, HTMLAttributes } from "react";
import type {
  Appearance,
  BalanceAttributes,
  Paydesk,
  PaydeskBalance,
  PaydeskEventMap,
  PaydeskPaymentForm,
  PaydeskSubscriptions,
  PaymentFormAttributes,
  SubscriptionsAttributes,
} from "./paydesk.js";

/** React 19 hears a custom element's events by `on` and their name: `onpaydesk-paid`. */
type Handlers = { [Name in keyof PaydeskEventMap as `on${Name}`]?: (event: PaydeskEventMap[Name]) => void };
type Properties = { client?: Paydesk };
type Tag<Made, Attributes> = DetailedHTMLProps<HTMLAttributes<Made>, Made> & Attributes & Handlers & Properties;

declare module "react" {
  namespace JSX {
    interface IntrinsicElements {
      "paydesk-payment-form": Tag<PaydeskPaymentForm, PaymentFormAttributes & { appearance?: Appearance }>;
      "paydesk-balance": Tag<PaydeskBalance, BalanceAttributes>;
      "paydesk-subscriptions": Tag<PaydeskSubscriptions, SubscriptionsAttributes>;
    }
  }
}
