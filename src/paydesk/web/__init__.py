"""HTTP: handlers parse, call one function, render. No SQL and no Stripe in here."""
