"""The calls of Stripe's API that the sandbox does not build; written by `scripts/unbuilt_params.py`.

Each entry names methods and the paths that have exactly these; `{}` is an id.
"""

CALLS: tuple[tuple[str, str], ...] = (
    (
        "DELETE",
        "/v1/ephemeral_keys/{}",
    ),
    (
        "DELETE GET",
        """/v1/apple_pay/domains/{} /v1/customers/{}/tax_ids/{} /v1/products/{}/features/{} /v1/radar/value_list_items/{}
        /v1/tax_ids/{}""",
    ),
    (
        "DELETE GET POST",
        """/v1/accounts/{} /v1/accounts/{}/external_accounts/{} /v1/accounts/{}/persons/{} /v1/radar/value_lists/{}
        /v1/terminal/configurations/{} /v1/terminal/locations/{} /v1/terminal/readers/{}""",
    ),
    (
        "GET",
        """/v1/accounts/{}/capabilities /v1/application_fees /v1/application_fees/{} /v1/apps/secrets/find /v1/billing/alerts/{}
        /v1/billing/credit_balance_summary /v1/billing/credit_balance_transactions /v1/billing/credit_balance_transactions/{}
        /v1/billing/meters/{}/event_summaries /v1/climate/products /v1/climate/products/{} /v1/climate/suppliers
        /v1/climate/suppliers/{} /v1/confirmation_tokens/{} /v1/country_specs /v1/country_specs/{}
        /v1/entitlements/active_entitlements /v1/entitlements/active_entitlements/{} /v1/exchange_rates /v1/exchange_rates/{}
        /v1/files/{} /v1/financial_connections/accounts /v1/financial_connections/accounts/{}
        /v1/financial_connections/accounts/{}/owners /v1/financial_connections/sessions/{}
        /v1/financial_connections/transactions /v1/financial_connections/transactions/{} /v1/forwarding/requests/{}
        /v1/identity/verification_reports /v1/identity/verification_reports/{} /v1/invoice_rendering_templates
        /v1/invoice_rendering_templates/{} /v1/issuing/authorizations /v1/issuing/physical_bundles
        /v1/issuing/physical_bundles/{} /v1/issuing/tokens /v1/issuing/transactions /v1/payment_attempt_records
        /v1/payment_attempt_records/{} /v1/payment_intents/{}/amount_details_line_items /v1/payment_links/{}/line_items
        /v1/payment_records /v1/payment_records/{} /v1/quotes/{}/computed_upfront_line_items /v1/quotes/{}/line_items
        /v1/reporting/report_runs/{} /v1/reporting/report_types /v1/reporting/report_types/{} /v1/reviews /v1/reviews/{}
        /v1/sigma/scheduled_query_runs /v1/sigma/scheduled_query_runs/{} /v1/sources/{}/source_transactions
        /v1/tax/associations/find /v1/tax/calculations/{} /v1/tax/calculations/{}/line_items /v1/tax/locations/{}
        /v1/tax/transactions/{} /v1/tax/transactions/{}/line_items /v1/tax_codes /v1/tax_codes/{}
        /v1/three_d_secure/authentications/{} /v1/treasury/credit_reversals/{} /v1/treasury/debit_reversals/{}
        /v1/treasury/inbound_transfers/{} /v1/treasury/outbound_payments/{} /v1/treasury/outbound_transfers/{}
        /v1/treasury/received_credits /v1/treasury/received_credits/{} /v1/treasury/received_debits
        /v1/treasury/received_debits/{} /v1/treasury/transaction_entries /v1/treasury/transaction_entries/{}
        /v1/treasury/transactions /v1/treasury/transactions/{}""",
    ),
    (
        "GET POST",
        """/v1/accounts /v1/accounts/{}/capabilities/{} /v1/accounts/{}/external_accounts /v1/accounts/{}/persons
        /v1/apple_pay/domains /v1/application_fees/{}/refunds /v1/application_fees/{}/refunds/{} /v1/apps/installs
        /v1/apps/installs/{} /v1/apps/secrets /v1/balance_settings /v1/billing/alerts /v1/billing/credit_grants
        /v1/billing/credit_grants/{} /v1/billing/feedback_options /v1/billing/feedback_options/{} /v1/billing/meters
        /v1/billing/meters/{} /v1/climate/orders /v1/climate/orders/{} /v1/customers/{}/tax_ids /v1/entitlements/features
        /v1/entitlements/features/{} /v1/file_links /v1/file_links/{} /v1/files /v1/forwarding/requests
        /v1/identity/verification_sessions /v1/identity/verification_sessions/{} /v1/issuing/authorizations/{}
        /v1/issuing/cardholders /v1/issuing/cardholders/{} /v1/issuing/cards /v1/issuing/cards/{} /v1/issuing/disputes
        /v1/issuing/disputes/{} /v1/issuing/personalization_designs /v1/issuing/personalization_designs/{}
        /v1/issuing/tokens/{} /v1/issuing/transactions/{} /v1/payment_links /v1/payment_links/{}
        /v1/payment_method_configurations /v1/payment_method_configurations/{} /v1/payment_method_domains
        /v1/payment_method_domains/{} /v1/payouts /v1/payouts/{} /v1/product_catalog/trial_offers
        /v1/product_catalog/trial_offers/{} /v1/products/{}/features /v1/quotes /v1/quotes/{} /v1/radar/value_list_items
        /v1/radar/value_lists /v1/reporting/report_runs /v1/sources/{} /v1/tax/locations /v1/tax/registrations
        /v1/tax/registrations/{} /v1/tax/settings /v1/tax_ids /v1/terminal/configurations /v1/terminal/locations
        /v1/terminal/readers /v1/three_d_secure/authentications /v1/topups /v1/topups/{} /v1/transfers /v1/transfers/{}
        /v1/transfers/{}/reversals /v1/transfers/{}/reversals/{} /v1/treasury/credit_reversals /v1/treasury/debit_reversals
        /v1/treasury/financial_accounts /v1/treasury/financial_accounts/{} /v1/treasury/financial_accounts/{}/features
        /v1/treasury/inbound_transfers /v1/treasury/outbound_payments /v1/treasury/outbound_transfers""",
    ),
    (
        "POST",
        """/v1/account_links /v1/account_sessions /v1/accounts/{}/login_links /v1/accounts/{}/reject /v1/accounts/{}/unreject
        /v1/apps/installs/{}/uninstall /v1/apps/secrets/delete /v1/billing/alerts/{}/activate /v1/billing/alerts/{}/archive
        /v1/billing/alerts/{}/deactivate /v1/billing/credit_grants/{}/expire /v1/billing/credit_grants/{}/void
        /v1/billing/feedback_options/{}/deactivate /v1/billing/meter_event_adjustments /v1/billing/meter_events
        /v1/billing/meters/{}/deactivate /v1/billing/meters/{}/reactivate /v1/climate/orders/{}/cancel /v1/customer_sessions
        /v1/customers/{}/sources/{}/verify /v1/ephemeral_keys /v1/financial_connections/accounts/{}/disconnect
        /v1/financial_connections/accounts/{}/refresh /v1/financial_connections/accounts/{}/subscribe
        /v1/financial_connections/accounts/{}/unsubscribe /v1/financial_connections/sessions
        /v1/identity/verification_sessions/{}/cancel /v1/identity/verification_sessions/{}/redact
        /v1/invoice_rendering_templates/{}/archive /v1/invoice_rendering_templates/{}/unarchive
        /v1/issuing/authorizations/{}/approve /v1/issuing/authorizations/{}/decline /v1/issuing/disputes/{}/submit
        /v1/payment_intents/{}/verify_microdeposits /v1/payment_method_domains/{}/validate /v1/payment_records/report_payment
        /v1/payment_records/{}/report_payment_attempt /v1/payment_records/{}/report_payment_attempt_canceled
        /v1/payment_records/{}/report_payment_attempt_failed /v1/payment_records/{}/report_payment_attempt_guaranteed
        /v1/payment_records/{}/report_payment_attempt_informational /v1/payment_records/{}/report_refund /v1/payouts/{}/cancel
        /v1/payouts/{}/reverse /v1/quotes/{}/accept /v1/quotes/{}/cancel /v1/quotes/{}/finalize /v1/radar/payment_evaluations
        /v1/reviews/{}/approve /v1/setup_intents/{}/verify_microdeposits /v1/sources /v1/sources/{}/verify
        /v1/tax/calculations /v1/tax/transactions/create_from_calculation /v1/tax/transactions/create_reversal
        /v1/terminal/connection_tokens /v1/terminal/onboarding_links /v1/terminal/readers/{}/cancel_action
        /v1/terminal/readers/{}/collect_inputs /v1/terminal/readers/{}/collect_payment_method
        /v1/terminal/readers/{}/confirm_payment_intent /v1/terminal/readers/{}/process_payment_intent
        /v1/terminal/readers/{}/process_setup_intent /v1/terminal/readers/{}/refund_payment
        /v1/terminal/readers/{}/set_reader_display /v1/test_helpers/confirmation_tokens
        /v1/test_helpers/issuing/authorizations /v1/test_helpers/issuing/authorizations/{}/capture
        /v1/test_helpers/issuing/authorizations/{}/expire /v1/test_helpers/issuing/authorizations/{}/finalize_amount
        /v1/test_helpers/issuing/authorizations/{}/fraud_challenges/respond
        /v1/test_helpers/issuing/authorizations/{}/increment /v1/test_helpers/issuing/authorizations/{}/reverse
        /v1/test_helpers/issuing/cards/{}/shipping/deliver /v1/test_helpers/issuing/cards/{}/shipping/fail
        /v1/test_helpers/issuing/cards/{}/shipping/return /v1/test_helpers/issuing/cards/{}/shipping/ship
        /v1/test_helpers/issuing/cards/{}/shipping/submit /v1/test_helpers/issuing/personalization_designs/{}/activate
        /v1/test_helpers/issuing/personalization_designs/{}/deactivate
        /v1/test_helpers/issuing/personalization_designs/{}/reject /v1/test_helpers/issuing/transactions/create_force_capture
        /v1/test_helpers/issuing/transactions/create_unlinked_refund /v1/test_helpers/issuing/transactions/{}/refund
        /v1/test_helpers/terminal/readers/{}/present_payment_method
        /v1/test_helpers/terminal/readers/{}/succeed_input_collection
        /v1/test_helpers/terminal/readers/{}/timeout_input_collection /v1/test_helpers/treasury/inbound_transfers/{}/fail
        /v1/test_helpers/treasury/inbound_transfers/{}/return /v1/test_helpers/treasury/inbound_transfers/{}/succeed
        /v1/test_helpers/treasury/outbound_payments/{} /v1/test_helpers/treasury/outbound_payments/{}/fail
        /v1/test_helpers/treasury/outbound_payments/{}/post /v1/test_helpers/treasury/outbound_payments/{}/return
        /v1/test_helpers/treasury/outbound_transfers/{} /v1/test_helpers/treasury/outbound_transfers/{}/fail
        /v1/test_helpers/treasury/outbound_transfers/{}/post /v1/test_helpers/treasury/outbound_transfers/{}/return
        /v1/test_helpers/treasury/received_credits /v1/test_helpers/treasury/received_debits
        /v1/three_d_secure/authentications/{}/cancel /v1/three_d_secure/authentications/{}/submit /v1/topups/{}/cancel
        /v1/treasury/financial_accounts/{}/close /v1/treasury/inbound_transfers/{}/cancel
        /v1/treasury/outbound_payments/{}/cancel /v1/treasury/outbound_transfers/{}/cancel""",
    ),
)  # fmt: skip
