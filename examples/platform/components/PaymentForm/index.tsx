/** A form for one payment. Our own server looks at the amount before it makes the order: a page can be made to say anything. */

import { useCallback, useEffect, useState } from "react";
import "paydesk";
import type {} from "paydesk/react";
import type { PaydeskEventMap } from "paydesk";
import { own, settings } from "../../services/stripe";
import type { Settings } from "../../services/stripe";

export interface PaymentResult {
  order: string | null;
  state: string;
}

export interface PaymentProblem {
  code: string;
  message: string;
}

export interface PaymentFormProps {
  /** In the currency's smallest unit: 2500 is $25.00. */
  amount: number;
  currency: string;
  description: string;
  onSuccess: (paymentResult: PaymentResult) => void;
  onError: (error: PaymentProblem) => void;
}

interface Ready extends Settings {
  /** The order's token: the last part of its link. */
  order: string;
}

async function begin(amount: number, currency: string, description: string): Promise<Ready> {
  const made = own<{ token: string }>("POST", "/orders.json", { amount, currency: currency.toLowerCase(), description });
  return { ...(await settings()), order: (await made).token };
}

export default function PaymentForm({ amount, currency, description, onSuccess, onError }: PaymentFormProps) {
  const [ready, setReady] = useState<Ready | null>(null);
  const [problem, setProblem] = useState("");
  useEffect(() => {
    let current = true;
    const failed = (error: Error & { code?: string }) => {
      if (!current) return;
      setProblem(error.message);
      onError({ code: error.code ?? "connection", message: error.message });
    };
    begin(amount, currency, description).then((made) => current && setReady(made), failed);
    return () => {
      current = false;
    };
  }, [amount, currency, description]);
  const paid = useCallback((event: PaydeskEventMap["paydesk-paid"]) => onSuccess(event.detail), [onSuccess]);
  const refused = useCallback((event: PaydeskEventMap["paydesk-failed"]) => onError(event.detail), [onError]);
  if (problem) return <p role="alert">{problem}</p>;
  if (!ready) return <p aria-busy="true">…</p>;
  return <paydesk-payment-form url={ready.url} order={ready.order} onpaydesk-paid={paid} onpaydesk-failed={refused} />;
}
