/** The figures of the last 30 days, in each currency. Currencies are never added together. */

import { useEffect, useState } from "react";
import type { AmountMinor, PlatformDashboard } from "paydesk";
import { stripeService } from "../../services/stripe";

function money(amount: AmountMinor, currency: string): string {
  const format = new Intl.NumberFormat(undefined, { style: "currency", currency });
  return format.format(amount / 10 ** (format.resolvedOptions().maximumFractionDigits ?? 2));
}

export default function AdminFinancialDashboard() {
  const [figures, setFigures] = useState<PlatformDashboard | null>(null);
  const [problem, setProblem] = useState("");
  useEffect(() => {
    const show = (answer: Awaited<ReturnType<typeof stripeService.dashboard>>) =>
      answer.success ? setFigures(answer.data) : setProblem(answer.error.message);
    stripeService.dashboard().then(show, (error: Error) => setProblem(error.message));
  }, []);
  if (problem) return <p role="alert">{problem}</p>;
  if (!figures) return <p aria-busy="true">…</p>;
  return (
    <table>
      <caption>
        Since {figures.from.slice(0, 10)}: {figures.subscriptions.active} active subscriptions
      </caption>
      <thead>
        <tr>
          <th scope="col">Currency</th>
          <th scope="col">Gross</th>
          <th scope="col">Refunded</th>
          <th scope="col">Net</th>
          <th scope="col">Payments</th>
        </tr>
      </thead>
      <tbody>
        {figures.totals.map((row) => (
          <tr key={row.currency}>
            <th scope="row">{row.currency.toUpperCase()}</th>
            <td>{money(row.gross, row.currency)}</td>
            <td>{money(row.refunded, row.currency)}</td>
            <td>{money(row.net, row.currency)}</td>
            <td>{row.successful}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}
